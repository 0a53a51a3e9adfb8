use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use super::*;
use crate::config::{Server, Timeouts, UpstreamTls};
use crate::decide::{Circumstances, Permit, Subject, Verdict, judged_for_test};
use crate::decode::{Action, Era, Message, Meta, ToolCall};
use crate::identify::caller_for_test;
use crate::name::{Revision, ServerName, ToolName};
use crate::record::segment::disk::{self, Mood};

mod chain;
mod faults;
mod tampering;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A gate's audit directory and state.
struct Gate {
    root: tempfile::TempDir,
    audit: Audit,
}

impl Gate {
    fn new() -> Self {
        Self::with(Fsync::Every(Duration::from_millis(10)), 64 << 20)
    }

    fn with(fsync: Fsync, segment_bytes: u64) -> Self {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("audit");
        let audit = Audit { directory, fsync, segment_bytes, timeout: Duration::from_secs(10) };
        Self { root, audit }
    }

    fn start(&self) -> Record {
        self.try_start().unwrap()
    }

    fn try_start(&self) -> Result<Record, RecordError> {
        Record::open_chain(&self.audit, self.root.path(), &Key::new(vec![7; 32]))
    }

    fn directory(&self) -> &Path {
        &self.audit.directory
    }

    fn verify(&self) -> verify::Report {
        let key = AuditKey::read(&AuditKey::path(self.directory())).unwrap();
        verify::verify(self.directory(), &key).unwrap()
    }

    fn segments(&self) -> Vec<PathBuf> {
        segment::list(self.directory()).unwrap().into_iter().map(|found| found.path).collect()
    }

    fn lines(&self) -> Vec<Value> {
        let text: String = self.segments().iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn kinds(&self) -> Vec<String> {
        self.lines().iter().map(|line| line["kind"].as_str().unwrap().to_owned()).collect()
    }
}

fn circumstances() -> Circumstances {
    Circumstances {
        invocation: Invocation::new(),
        time: jiff::Timestamp::now(),
        source_ip: HERE,
        protocol: Some("2025-11-25"),
        client: Some(("probe".to_owned(), None)),
        workflow: None,
        rate_remaining: None,
        cost_this_month: None,
    }
}

fn call(tool: &str, arguments: &str) -> Permit {
    let name = ToolName::parse(tool).unwrap();
    let arguments = RawValue::from_string(arguments.to_owned()).ok();
    let message = Message {
        era: Era::Legacy,
        version: None,
        id: None,
        method: "tools/call",
        action: Action::CallTool(ToolCall { name, arguments, task: false }),
        meta: Meta::default(),
        state: None,
        bytes: Bytes::new(),
    };
    let mut verdict = Verdict::for_test();
    verdict.rules = vec!["readers-read".into()];
    verdict.cost = 0.5;
    verdict.revision = Revision::parse("r1").unwrap();
    let caller = caller_for_test("acme", "alice@acme.example", &["reader"]);
    judged_for_test(caller, Arc::new(server()), Subject::Server, message, verdict)
}

fn server() -> Server {
    let second = Duration::from_secs(1);
    Server {
        name: ServerName::parse("erp").unwrap(),
        url: "http://127.0.0.1:1/mcp".parse().unwrap(),
        tags: Vec::new(),
        trust_annotations: false,
        tools: Vec::new(),
        tls: UpstreamTls::default(),
        timeouts: Timeouts { connect: second, read: second, total: second, stream_idle: second },
        http2: false,
        eras: crate::config::Eras::Auto,
        vouch_roles: false,
        pins: crate::config::PinMode::Off,
    }
}

async fn opened(record: &Record) -> Result<Entry, Refusal> {
    let permit = call("list_invoices", r#"{"status":"open"}"#);
    record.open(Intent { permit: &permit, circumstances: &circumstances() }).await
}

async fn calls(record: &Record, count: usize) {
    for _ in 0..count {
        opened(record).await.unwrap().close(Outcome::bare(Status::Ok));
    }
}

/// Waits for what another thread does on its own.
async fn until(mut holds: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < patience, "it did not happen in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
