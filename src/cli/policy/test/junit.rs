//! A report as JUnit XML, which CI servers read: a suite per file.

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::report::{Report, milliseconds, reasons};
use crate::decide::Tested;

type Xml = Writer<Vec<u8>>;

/// Writes the report.
pub(super) fn write(report: &Report) -> String {
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    // A vector takes whatever is written to it.
    let _ = xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
    let (tests, failures) = (report.tested.len().to_string(), report.failed().to_string());
    let suites = xml.create_element("testsuites").with_attributes([
        ("name", "portcullis policy test"),
        ("tests", tests.as_str()),
        ("failures", failures.as_str()),
    ]);
    let _ = suites.write_inner_content(|xml| {
        let mut files: Vec<&str> = report.tested.iter().map(|test| test.file.as_str()).collect();
        files.dedup();
        files.iter().try_for_each(|file| suite(xml, file, report))
    });
    String::from_utf8(xml.into_inner()).unwrap_or_default()
}

fn suite(xml: &mut Xml, file: &str, report: &Report) -> std::io::Result<()> {
    let tested: Vec<&Tested> = report.tested.iter().filter(|test| test.file == file).collect();
    let count = tested.len().to_string();
    let failures = tested.iter().filter(|test| test.problem.is_some()).count().to_string();
    let time = seconds(tested.iter().map(|test| milliseconds(test)).sum());
    let attributes =
        [("name", file), ("tests", &count), ("failures", &failures), ("errors", "0"), ("time", &time)];
    let suite = xml.create_element("testsuite").with_attributes(attributes);
    suite.write_inner_content(|xml| tested.iter().try_for_each(|test| case(xml, test)))?;
    Ok(())
}

fn case(xml: &mut Xml, test: &Tested) -> std::io::Result<()> {
    let (time, line, name) = (seconds(milliseconds(test)), test.line.to_string(), plain(&test.name));
    let attributes = [
        ("name", name.as_str()),
        ("classname", test.file.as_str()),
        ("file", test.file.as_str()),
        ("line", line.as_str()),
        ("time", time.as_str()),
    ];
    let element = xml.create_element("testcase").with_attributes(attributes);
    let Some(problem) = &test.problem else {
        element.write_empty()?;
        return Ok(());
    };
    let (message, told) = (plain(&problem.what), plain(&reasons(test).join("\n")));
    element.write_inner_content(|xml| {
        let failure = xml.create_element("failure").with_attribute(("message", message.as_str()));
        failure.write_text_content(BytesText::new(&told))?;
        Ok(())
    })?;
    Ok(())
}

fn seconds(milliseconds: f64) -> String {
    format!("{:.6}", milliseconds / 1000.0)
}

/// Text without the characters that XML 1.0 has no way to write (section 2.2).
fn plain(text: &str) -> String {
    let fits = |c: &char| {
        matches!(c, '\t' | '\n' | '\r') || (!c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}'))
    };
    text.chars().filter(fits).collect()
}
