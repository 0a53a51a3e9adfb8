//! A real OpenTelemetry collector (Rotel): it takes traces over OTLP and prints every span.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use crate::process::Process;
use crate::sdk;

/// A running collector.
pub struct Collector {
    /// What `telemetry.otlp` is to be.
    pub url: String,
    process: Process,
}

/// A span as the collector understood it.
#[derive(Debug, Clone, Default)]
pub struct Span {
    /// Its name.
    pub name: String,
    /// `SPAN_KIND_SERVER`, `SPAN_KIND_CLIENT` or `SPAN_KIND_INTERNAL`.
    pub kind: String,
    /// Its trace, in hexadecimal digits.
    pub trace: String,
    /// Its own id.
    pub id: String,
    /// The id of its parent; empty: it has none.
    pub parent: String,
    /// `STATUS_CODE_UNSET` or `STATUS_CODE_ERROR`.
    pub status: String,
    attributes: BTreeMap<String, String>,
}

impl Collector {
    /// Starts one on free ports of its own choice.
    ///
    /// # Panics
    /// Where the collector's package is missing.
    #[must_use]
    pub fn start() -> Self {
        let package = sdk::python_package("rotel").expect("Rotel is made for Linux only");
        let mut command = Command::new(package.join("rotel-agent"));
        command.env("LD_LIBRARY_PATH", libraries(&package));
        // It keeps its listeners by address: two that are the same, port 0 included, are one to it.
        command.args(["start", "--otlp-http-endpoint", "127.0.0.1:0", "--otlp-grpc-endpoint", "127.0.0.2:0"]);
        command.args([
            "--exporter",
            "blackhole",
            "--debug-log",
            "traces",
            "--debug-log-verbosity",
            "detailed",
        ]);
        let mut process = Process::start("rotel", command);
        let id = process.id();
        let port = process.until("its port", |_| listens(id, Ipv4Addr::LOCALHOST));
        Self { url: format!("http://127.0.0.1:{port}"), process }
    }

    /// Waits until it has printed a whole span that `last` knows; every span until then.
    pub fn until(&mut self, last: impl Fn(&Span) -> bool) -> Vec<Span> {
        self.process.until("the last span", |lines| {
            let spans = spans(lines);
            spans.iter().any(&last).then_some(spans)
        })
    }

    /// Everything that it has printed: what a leak would show in.
    #[must_use]
    pub fn output(&self) -> String {
        self.process.output()
    }
}

impl Span {
    /// The text of an attribute.
    #[must_use]
    pub fn said(&self, key: &str) -> Option<&str> {
        self.attributes.get(key).map(String::as_str)
    }
}

fn spans(lines: &[String]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for line in lines {
        if line.starts_with("Span #") {
            spans.push(Span::default());
        } else if let Some(span) = spans.last_mut() {
            read(line, span);
        }
    }
    spans
}

fn read(line: &str, span: &mut Span) {
    let (line, attribute) = match line.trim_start().strip_prefix("-> ") {
        Some(line) => (line, true),
        None => (line, false),
    };
    let Some((key, value)) = line.split_once(':') else { return };
    let (key, value) = (key.trim(), value.trim());
    if attribute {
        let value = value.split_once('(').and_then(|(_, value)| value.strip_suffix(')'));
        span.attributes.insert(key.to_owned(), value.unwrap_or_default().to_owned());
        return;
    }
    let place = match key {
        "Trace ID" => &mut span.trace,
        "Parent ID" => &mut span.parent,
        "ID" => &mut span.id,
        "Name" => &mut span.name,
        "Kind" => &mut span.kind,
        "Status code" => &mut span.status,
        _ => return,
    };
    value.clone_into(place);
}

/// Where the library of Python is that Rotel is linked with.
fn libraries(package: &Path) -> String {
    let home = package.ancestors().nth(4).expect("lib/python3.x/site-packages/rotel");
    let told = Command::new(home.join("bin/python"))
        .args(["-c", "import sysconfig; print(sysconfig.get_config_var('LIBDIR') or '')"])
        .output();
    String::from_utf8_lossy(&told.expect("Python runs").stdout).trim().to_owned()
}

/// The port of this address on which the process listens.
fn listens(process: u32, address: Ipv4Addr) -> Option<u16> {
    let local = format!("{:08X}:", u32::from_le_bytes(address.octets()));
    let own: Vec<_> = fs::read_dir(format!("/proc/{process}/fd")).ok()?.flatten().collect();
    let own: Vec<_> = own.iter().filter_map(|file| fs::read_link(file.path()).ok()).collect();
    let table = fs::read_to_string(format!("/proc/{process}/net/tcp")).ok()?;
    table.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let port = fields.get(1)?.strip_prefix(&local)?;
        let listening = fields.get(3) == Some(&"0A");
        let socket = format!("socket:[{}]", fields.get(9)?);
        let mine = own.iter().any(|file| file.to_str() == Some(&socket));
        (listening && mine).then(|| u16::from_str_radix(port, 16).ok())?
    })
}
