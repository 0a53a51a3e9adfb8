//! `portcullis demo`: a gate before a sample server, and an agent that is allowed, narrowed and refused.
//!
//! # Why everything is real
//! The gate is the one that `portcullis run` starts, and the agent talks to it over HTTP. What is shown is compared with what
//! the policy says; where it differs, the demo fails.

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::audit::{gist, verdict};
use super::run::{Told, not_started, runtime};
use super::{Console, Exit, Failure};
use crate::config::{Config, ProcessEnv};
use crate::gateway::Source;
use crate::record::{AuditKey, read, verify};
use crate::run::Running;

mod agent;
mod house;
mod server;

use agent::Agent;
use house::House;

/// How often the demo looks whether the policy has changed.
const LOOK: Duration = Duration::from_millis(250);
/// How long it waits for a line of the audit.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it waits before it looks again.
const MOMENT: Duration = Duration::from_millis(10);
/// Threads of the gate, the server and the agent together.
const THREADS: usize = 2;

#[derive(Debug, clap::Args)]
pub(super) struct Demo {
    /// Show it and exit
    #[arg(long)]
    once: bool,
    /// The gate's port [default: a free one]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    port: u16,
}

impl Demo {
    pub(super) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        runtime(THREADS)?.block_on(self.show(console))
    }

    async fn show(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let mut told = Told::listen()?;
        let mut scene = Scene::set(self.port).await?;
        let shown = async {
            scene.play(console).await?;
            if self.once { Ok(()) } else { scene.stay(console, &mut told).await }
        };
        let shown = shown.await;
        scene.running.stop().await;
        shown.map(|()| Exit::Done)
    }
}

/// A gate, the server behind it, and the agent before it.
struct Scene {
    house: House,
    running: Running,
    agent: Agent,
    gate: SocketAddr,
    /// The last line of the audit that was shown.
    seen: u64,
}

impl Scene {
    async fn set(port: u16) -> Result<Self, Failure> {
        let gate = free(port)?;
        let server =
            server::start().await.map_err(|error| failed("the sample server does not start", &error))?;
        let house = House::build(gate, &server)?;
        let (config, _) = Config::open(&house.config(), &ProcessEnv).map_err(Failure::Config)?;
        let running = Running::start(config).await.map_err(not_started)?;
        let agent = Agent::new(format!("http://{gate}/servers/{}/mcp", house::SERVER), house.key.expose())?;
        Ok(Self { house, running, agent, gate, seen: 0 })
    }

    async fn play(&mut self, console: &mut Console<'_>) -> Result<(), Failure> {
        let offered = server::TOOLS.join(", ");
        console.say("Portcullis: a gate before a sample MCP server, and an agent that uses it.\n");
        console.say(format_args!("server   invoices, which offers {offered}"));
        console.say("agent    key of clerk (tenant local, role clerk, region EMEA)");
        console.say("policy   a clerk reads the invoices of her own region; nobody deletes\n");
        self.agent.open().await?;
        self.seen = self.last()?;
        self.lists(console).await?;
        self.may(console).await?;
        self.may_not(console).await?;
        self.sees_not(console).await?;
        self.proves(console).await
    }

    async fn lists(&mut self, console: &mut Console<'_>) -> Result<(), Failure> {
        let tools = self.agent.tools().await?;
        let names: Vec<&str> = tools.iter().filter_map(|tool| tool.get("name")?.as_str()).collect();
        expect("the agent sees two tools", names == ["list_invoices", "get_invoice"], &json!(names))?;
        let region = tools.first().and_then(|tool| tool.pointer("/inputSchema/properties/region"));
        let region = region.cloned().unwrap_or_default();
        expect("its schema is narrowed", region.to_string().contains("EMEA"), &region)?;
        console.say(format_args!("1  tools/list\n   sees       {}", names.join(", ")));
        console.say("   narrowed   region is shown as {\"const\":\"EMEA\"}");
        self.record(console, "outcome").await
    }

    async fn may(&mut self, console: &mut Console<'_>) -> Result<(), Failure> {
        let answer = self.agent.call("list_invoices", &json!({"region": "EMEA"})).await?;
        let text = text(&answer);
        let good = answer.pointer("/result/isError") != Some(&json!(true)) && text.contains("INV-1001");
        expect("the call is allowed", good, &answer)?;
        console.say("\n2  list_invoices {\"region\":\"EMEA\"}");
        console.say(format_args!("   allowed    {text}"));
        self.record(console, "outcome").await
    }

    async fn may_not(&mut self, console: &mut Console<'_>) -> Result<(), Failure> {
        let answer = self.agent.call("list_invoices", &json!({"region": "US"})).await?;
        let refused = answer.pointer("/result/isError") == Some(&json!(true));
        expect("the call is refused", refused, &answer)?;
        console.say("\n3  list_invoices {\"region\":\"US\"}");
        console.say(format_args!("   refused    {}", text(&answer)));
        self.record(console, "refused").await
    }

    async fn sees_not(&mut self, console: &mut Console<'_>) -> Result<(), Failure> {
        let answer = self.agent.call("delete_invoice", &json!({"id": "INV-1001"})).await?;
        let error = answer.get("error").cloned().unwrap_or_default();
        let unknown = error.get("message") == Some(&json!("Unknown tool: delete_invoice"));
        expect("the tool is unknown", unknown, &answer)?;
        console.say("\n4  delete_invoice {\"id\":\"INV-1001\"}");
        console.say("   hidden     Unknown tool: delete_invoice");
        self.record(console, "refused").await
    }

    /// Shows the lines that the audit has got of the last call, up to the one that ends it.
    async fn record(&mut self, console: &mut Console<'_>, end: &str) -> Result<(), Failure> {
        let wait = Instant::now() + PATIENCE;
        loop {
            let fresh = of_tools(self.since(self.seen)?);
            if fresh.iter().any(|line| line.get("kind").and_then(Value::as_str) == Some(end)) {
                for line in &fresh {
                    console.say(format_args!("   audit      {}", gist(line)));
                }
                self.seen = self.last()?;
                return Ok(());
            }
            expect("the audit has the call", Instant::now() < wait, &json!(fresh))?;
            tokio::time::sleep(MOMENT).await;
        }
    }

    async fn proves(&self, console: &mut Console<'_>) -> Result<(), Failure> {
        let (directory, wait) = (self.house.audit(), Instant::now() + PATIENCE);
        let report = loop {
            let report = AuditKey::read(&AuditKey::path(&directory))
                .and_then(|key| verify::verify(&directory, &key))
                .map_err(|error| failed("the audit cannot be verified", &error))?;
            if report.unfinished == 0 || Instant::now() > wait {
                break report;
            }
            tokio::time::sleep(MOMENT).await;
        };
        expect("the audit is whole", report.is_whole() && report.unfinished == 0, &json!(report))?;
        console.say(format_args!("\n5  audit verify\n   {}", verdict(&report)));
        Ok(())
    }

    /// Keeps the gate for whoever wants to try it, until Ctrl-C.
    async fn stay(&mut self, console: &mut Console<'_>, told: &mut Told) -> Result<(), Failure> {
        self.invite(console);
        let mut shown = self.running.gate().current().policy().revision().clone();
        let mut broken: Option<Arc<String>> = None;
        loop {
            tokio::select! {
                () = told.wait() => return Ok(()),
                () = tokio::time::sleep(LOOK) => {}
            }
            let why = self.running.gate().kept_because(Source::Policy);
            if why != broken {
                if let Some(why) = &why {
                    console.say(format_args!("policy not taken, the one before it serves: {why}"));
                }
                broken = why;
            }
            let now = self.running.gate().current().policy().revision().clone();
            if now != shown {
                shown = now;
                let names: Vec<String> = match self.agent.tools().await {
                    Ok(tools) => {
                        tools.iter().filter_map(|tool| Some(tool.get("name")?.as_str()?.to_owned())).collect()
                    }
                    Err(_) => Vec::new(),
                };
                let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
                console.say(format_args!("policy changed: the agent now sees {names}"));
            }
        }
    }

    fn invite(&self, console: &mut Console<'_>) {
        let url = format!("http://{}/servers/{}/mcp", self.gate, house::SERVER);
        let key = self.house.key.expose();
        console.say(format_args!(
            "\nIt keeps running. Connect an MCP client (Streamable HTTP):\n  url      {url}"
        ));
        console.say(format_args!("  header   Authorization: Bearer {key}"));
        console.say(format_args!("or by hand:\n  curl -s {url} -H 'Authorization: Bearer {key}' \\"));
        console.say(
            "    -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \\",
        );
        console.say("    -d '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}'");
        console.say("Change what a clerk may do and see the list change without a restart:");
        console.say(format_args!("  {}", self.house.data().display()));
        console.say("Ctrl-C ends it and removes its directory.");
    }

    fn last(&self) -> Result<u64, Failure> {
        let lines = self.since(0)?;
        Ok(lines.last().and_then(|line| line.get("seq")?.as_u64()).unwrap_or(0))
    }

    fn since(&self, seen: u64) -> Result<Vec<Value>, Failure> {
        let mut fresh = Vec::new();
        read::lines(&self.house.audit(), |line| {
            if let Ok(line) = serde_json::from_str::<Value>(line)
                && line.get("seq").and_then(Value::as_u64).is_some_and(|seq| seq > seen)
            {
                fresh.push(line);
            }
        })
        .map_err(|error| failed("the audit cannot be read", &error))?;
        Ok(fresh)
    }
}

/// A free address on loopback: the gate's public URL names its port, so that it must be known before.
fn free(port: u16) -> Result<SocketAddr, Failure> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|listener| listener.local_addr()).map_err(
        |error| {
            Failure::new(
                format!("127.0.0.1:{port} cannot be used: {error}"),
                "name another port with `--port`",
            )
        },
    )
}

/// The lines about tools: what a session needs besides is left out.
fn of_tools(lines: Vec<Value>) -> Vec<Value> {
    let word = |line: &Value, key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let about = lines.iter().filter(|line| word(line, "method").starts_with("tools/"));
    let calls: Vec<String> = about.map(|line| word(line, "invocation")).collect();
    lines.into_iter().filter(|line| calls.contains(&word(line, "invocation"))).collect()
}

/// The text of a tool's result.
fn text(answer: &Value) -> &str {
    answer.pointer("/result/content/0/text").and_then(Value::as_str).unwrap_or_default()
}

fn expect(what: &str, holds: bool, seen: &Value) -> Result<(), Failure> {
    if holds {
        return Ok(());
    }
    Err(Failure::new(format!("the demo expects that {what}, and got: {seen}"), "report this: it is a defect"))
}

fn failed(what: &str, why: &dyn Display) -> Failure {
    Failure::new(
        format!("{what}: {why}"),
        "see that loopback and the directory for temporary files can be used",
    )
}
