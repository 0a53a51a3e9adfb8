//! What the README shows is what the program prints.

use std::fs;
use std::process::Command;

use portcullis_integration::binary::portcullis;
use portcullis_integration::process::Process;

#[test]
fn the_demo_exits_by_itself_and_shows_what_the_readme_shows() {
    let shown = Command::new(portcullis()).args(["demo", "--once"]).output().expect("the binary runs");
    assert!(shown.status.success(), "{shown:?}");
    assert_eq!(String::from_utf8_lossy(&shown.stderr), "");
    let shown = constant(&String::from_utf8_lossy(&shown.stdout));
    let readme = constant(&block());
    assert!(readme.starts_with(shown.trim_end()), "the README shows:\n{readme}\nthe demo:\n{shown}");
}

#[test]
fn the_demo_stays_until_it_is_told_to_go() {
    let mut command = Command::new(portcullis());
    command.arg("demo").env("TMPDIR", "/tmp");
    let mut demo = Process::start("demo", command);
    let is_last = |line: &String| line.starts_with("Ctrl-C");
    demo.until("its last line", |lines| lines.iter().any(is_last).then_some(()));
    assert_eq!(constant(&demo.output()), constant(&block()).trim_end());
    demo.signal("INT");
    assert!(demo.wait().success());
}

/// The README's block behind the mark `<!-- demo -->`.
fn block() -> String {
    let readme =
        fs::read_to_string(portcullis_integration::repository().join("README.md")).expect("a README");
    let (_, rest) = readme.split_once("<!-- demo -->\n```text\n").expect("the demo's output");
    rest.split_once("```").expect("its end").0.to_owned()
}

/// The text without what differs from run to run: ports, keys, invocations, the directory.
fn constant(text: &str) -> String {
    let marks = ["127.0.0.1:", "pck_", "(invocation ", "portcullis-demo-"];
    marks.iter().fold(text.to_owned(), |text, mark| {
        let mut parts = text.split(mark);
        let first = parts.next().unwrap_or_default().to_owned();
        let varies = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        parts.fold(first, |text, part| text + mark + "…" + part.trim_start_matches(varies))
    })
}
