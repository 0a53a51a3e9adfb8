//! The stock policies against their README, read a second time in Rust: random tenants, grants and questions.

use crate::decide::allowance::Purse;
use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::*;
use crate::decide::Verdict;

const STOCK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/policies");

/// Modules that put something in the place of data, so that nothing is worked out beforehand.
const REPLACING: &str = "package replacing\n\nx if data.mcp.authz.allow with data.nothing as 1\n";

/// A source of numbers that is the same at every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(sides).unwrap()).unwrap()
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }

    fn some(&mut self, of: &[&str], most: usize) -> Vec<String> {
        let length = self.roll(most + 1);
        (0..length).map(|_| self.one(of).to_owned()).collect()
    }
}

const SERVERS: [&str; 5] = ["netsuite", "sap", "tag:erp", "tag:test", "*"];
const PATTERNS: [&str; 9] =
    ["list_a", "get_a", "list_*", "*", "*_a", "list_*_a", "l*t_*", "get_*", "delete_all"];
const TOOLS: [&str; 6] = ["list_a", "list_b", "get_a", "list_x_a", "delete_all", "list_*"];
const METHODS: [&str; 5] = ["read", "write", "custom", "list", "get"];
const URIS: [&str; 5] = ["memo://one", "file:///pub/*", "file:///pub/a", "file:///pub/../b", "*"];
const PROMPTS: [&str; 3] = ["hello", "hello*", "*"];
const ROLES: [&str; 4] = ["r0", "r1", "r2", "nobody"];
const OWN: [&str; 7] =
    ["ping", "tools/list", "initialize", "tasks/get", "tasks/list", "tools/call", "sampling/createMessage"];

fn grant(dice: &mut Dice) -> Value {
    let mut grant = Map::new();
    grant.insert("servers".into(), json!(dice.some(&SERVERS, 3)));
    let mut maybe = |key: &str, of: &[&str], odds: usize, dice: &mut Dice| {
        if dice.roll(odds) == 0 {
            grant.insert(key.into(), json!(dice.some(of, 3)));
        }
    };
    maybe("tools", &PATTERNS, 2, dice);
    maybe("methods", &METHODS, 3, dice);
    maybe("tags", &["invoices", "vendors"], 4, dice);
    maybe("resources", &URIS, 3, dice);
    maybe("prompts", &PROMPTS, 4, dice);
    maybe("redact", &["/a", "/b"], 5, dice);
    maybe("tool", &PATTERNS, 15, dice);
    if dice.roll(4) == 0 {
        let wanted = dice.one(&["caller.region", "caller.user", "caller.missing", "fixed"]);
        grant.insert("when".into(), json!({ "region": wanted }));
    }
    Value::Object(grant)
}

fn tenant(dice: &mut Dice) -> Value {
    let roles: Map<String, Value> = ["r0", "r1", "r2"]
        .iter()
        .map(|role| ((*role).to_owned(), Value::Array((0..dice.roll(5)).map(|_| grant(dice)).collect())))
        .collect();
    json!({ "roles": roles })
}

fn words<'a>(grant: &'a Value, key: &str) -> Option<Vec<&'a str>> {
    grant.get(key).map(|list| list.as_array().unwrap().iter().filter_map(Value::as_str).collect())
}

fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((beginning, rest)) => text.strip_prefix(beginning).is_some_and(|left| {
            (0..=left.len()).filter_map(|at| left.get(at..)).any(|tail| fits(rest, tail))
        }),
    }
}

fn any_fits(patterns: &[&str], text: &str) -> bool {
    patterns.iter().any(|pattern| fits(pattern, text))
}

/// Whether a grant covers a question, as the README says it.
fn covers(grant: &Value, question: &Question<'_>) -> bool {
    let known = ["servers", "tools", "tags", "methods", "resources", "prompts", "when", "redact"];
    let terms = ["*".to_owned(), question.server.name.to_string(), "tag:erp".to_owned()];
    let here = words(grant, "servers").unwrap().iter().any(|server| terms.iter().any(|term| term == server));
    let condition = grant.pointer("/when/region").and_then(Value::as_str);
    let sound = grant.as_object().unwrap().keys().all(|key| known.contains(&key.as_str()));
    sound && here && condition != Some("caller.missing") && speaks(grant, question)
}

fn speaks(grant: &Value, question: &Question<'_>) -> bool {
    let admits = |kinds: &[&str]| words(grant, "methods").is_none_or(|m| m.iter().any(|m| kinds.contains(m)));
    let (tools, resources, prompts) =
        (words(grant, "tools"), words(grant, "resources"), words(grant, "prompts"));
    let only_reads = resources.is_some() || prompts.is_some();
    let about_tools = !only_reads || grant.get("tags").is_some() || grant.get("methods").is_some();
    match question.subject {
        Subject::Tool(tool) => {
            let named = match &tools {
                Some(patterns) => any_fits(patterns, tool.name.as_str()),
                None => about_tools,
            };
            let tagged = words(grant, "tags").is_none_or(|tags| tags.contains(&"invoices"));
            named && tagged && admits(&["list", "read"])
        }
        Subject::Resource(uri) => {
            let patterns = resources.unwrap_or_default();
            let matching = patterns.contains(&&**uri) || !uri.contains("..") && any_fits(&patterns, uri);
            matching && admits(&["get", "read"])
        }
        Subject::Prompt(name) => any_fits(&prompts.unwrap_or_default(), name) && admits(&["get", "read"]),
        Subject::Server => match question.method {
            "ping" | "tools/list" | "initialize" => true,
            "tasks/get" | "tasks/list" => tools.is_some() || about_tools,
            _ => false,
        },
    }
}

fn subject(dice: &mut Dice) -> (&'static str, Subject) {
    match dice.roll(6) {
        0 => ("resources/read", Subject::Resource(dice.one(&URIS).into())),
        1 => ("prompts/get", Subject::Prompt(dice.one(&["hello", "hello you", "root"]).into())),
        2 => (dice.one(&OWN), Subject::Server),
        _ => ("tools/call", tool_or_odd(dice.one(&TOOLS))),
    }
}

/// A tool, also by a name that has a star in it.
fn tool_or_odd(name: &str) -> Subject {
    tool(&name.replace('*', "star"))
}

fn directory(tenants: &[Value], more: &str) -> Given {
    let given = Given::new(&[]);
    for file in fs::read_dir(STOCK).unwrap().map(|file| file.unwrap().path()) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with(".rego") && !name.ends_with("_test.rego") {
            given.write(&name, &fs::read_to_string(&file).unwrap());
        }
    }
    if !more.is_empty() {
        given.write("more.rego", more);
    }
    for (at, tenant) in tenants.iter().enumerate() {
        given.write(&format!("tenants/t{at}/data.json"), &tenant.to_string());
    }
    given
}

/// What the README says: the grants that cover it, and the masks where every one of them is limited.
fn expected(tenant: &Value, at: usize, question: &Question<'_>) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut rules, mut masks, mut free) = (BTreeSet::new(), BTreeSet::new(), false);
    for role in question.caller.roles() {
        let grants = tenant.pointer(&format!("/roles/{role}")).and_then(Value::as_array);
        for (position, grant) in grants.into_iter().flatten().enumerate() {
            if covers(grant, question) {
                rules.insert(format!("t{at}/{role}/{position}"));
                free |= grant.get("when").is_none() && grant.get("redact").is_none();
                masks.extend(words(grant, "redact").unwrap_or_default().iter().map(|m| (*m).to_owned()));
            }
        }
    }
    (rules, if free { BTreeSet::new() } else { masks })
}

fn told(verdict: &Verdict) -> (BTreeSet<String>, BTreeSet<String>) {
    let texts = |list: &[Arc<str>]| list.iter().map(|one| one.to_string()).collect();
    (texts(&verdict.rules), texts(&verdict.redact))
}

fn random_questions(questions: usize, mut each: impl FnMut(&Value, usize, &Question<'_>), tenants: &[Value]) {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let (server, circumstances) = (server(), circumstances());
    for _ in 0..questions {
        let at = dice.roll(tenants.len());
        let roles: BTreeSet<&str> = (0..=dice.roll(2)).map(|_| dice.one(&ROLES)).collect();
        let roles: Vec<&str> = roles.into_iter().collect();
        let caller =
            caller_for_test(&format!("t{at}"), "alice", &roles).with_attribute("region", Value::from("EMEA"));
        let (method, subject) = subject(&mut dice);
        let (arguments, server) = (None, &*server);
        let question = Question {
            caller: &caller,
            server,
            method,
            subject: &subject,
            arguments,
            circumstances: &circumstances,
        };
        each(&tenants[at], at, &question);
    }
}

fn tenants(count: usize) -> Vec<Value> {
    let mut dice = Dice(0x2545_F491_4F6C_DD1D);
    (0..count).map(|_| tenant(&mut dice)).collect()
}

#[test]
fn the_stock_policies_answer_as_their_readme_says() {
    let tenants = tenants(40);
    let decide = directory(&tenants, "").decide();
    let mut allowed = 0;
    let check = |tenant: &Value, at: usize, question: &Question<'_>| {
        let verdict = decide.verdict(question, Phase::Call, Purse::Open).unwrap();
        let expected = expected(tenant, at, question);
        assert_eq!(told(&verdict), expected, "{question:?}\n{tenant:#}");
        assert_eq!(verdict.allow, !expected.0.is_empty(), "{question:?}");
        allowed += usize::from(verdict.allow);
    };
    random_questions(1200, check, &tenants);
    assert!((200..1000).contains(&allowed), "{allowed} of 1200 are allowed");
}

#[test]
fn what_is_worked_out_beforehand_changes_no_answer() {
    let tenants = tenants(4);
    let (settled, open) = (directory(&tenants, "").decide(), directory(&tenants, REPLACING).decide());
    assert_eq!((settled.settled(), open.settled()), (2, 0));
    let check = |_: &Value, _: usize, question: &Question<'_>| {
        let one = settled.verdict(question, Phase::Call, Purse::Open).unwrap();
        let other = open.verdict(question, Phase::Call, Purse::Open).unwrap();
        assert_eq!((one.allow, told(&one)), (other.allow, told(&other)), "{question:?}");
        assert_eq!(
            one.constraints.schemas().collect::<Vec<_>>(),
            other.constraints.schemas().collect::<Vec<_>>()
        );
    };
    random_questions(60, check, &tenants);
}

#[test]
fn a_package_that_reads_more_than_data_is_not_worked_out_beforehand() {
    let with = |index: &str| {
        let authz = "package mcp.authz\n\nallow if input.method == \"ping\"\n\nowned if data.index.x == 1\n";
        let given =
            Given::new(&[("authz.rego", authz), ("index.rego", &format!("package index\n\n{index}\n"))]);
        given.decide().settled()
    };
    assert_eq!(with("x := 1"), 1);
    assert_eq!(with("x := count(data.tenants)"), 1);
    assert_eq!(with("x := f(1)\n\nf(y) := y"), 1);
    assert_eq!(with("x := 1 if input.method == \"ping\""), 0);
    assert_eq!(with("import input.method as m\n\nx := 1 if m == \"ping\""), 0);
    assert_eq!(with("x := time.now_ns()"), 0);
    assert_eq!(with("x := 1 if data.mcp.authz.allow"), 0);
    assert_eq!(with("x := 1 if count(data) > 0"), 0);
    assert_eq!(with("x := 1 if data[_].y"), 0);
}

#[test]
fn a_head_of_which_the_engine_could_lose_a_part_is_refused() {
    let rego = |text: &str| Given::rego(&format!("allow := true\n\n{text}"));
    let refused = |text: &str| rego(text).problems().contains("what other turns gave is lost");
    let denials = "if { some rule in data.denials; rule.tool == input.tool.name";
    assert!(refused(&format!("deny contains rule.message {denials} }}")));
    assert!(refused(&format!("deny contains {{\"message\": rule.message}} {denials} }}")));
    assert!(refused(&format!("constraints[name] := rule.schema {denials}; name := \"x\" }}")));
    assert!(refused(&format!("deny contains f(rule) {denials} }}\n\nf(x) := x.message")));
    rego(&format!("deny contains message {denials}; message := rule.message }}")).decide();
    rego("deny contains sprintf(\"not %v\", [input.method]) if { some role in input.caller.roles; role == \"x\" }").decide();
    rego("constraints[\"region\"] := {\"const\": input.caller.attributes.region} if input.caller.roles[_] == \"x\"").decide();
}

/// If this fails, the engine has been mended, and `paths/heads.rs` can go.
#[test]
fn the_engine_loses_what_it_found_where_the_head_of_the_last_turn_is_undefined() {
    let mut engine = regorus::Engine::new();
    let rego = "package p\n\ndeny contains x.message if some x in [{\"message\": \"no\"}, {}]\n";
    engine.add_policy("p.rego".into(), rego.into()).unwrap();
    assert_eq!(engine.eval_rule("data.p.deny".into()).unwrap().to_string(), "[]");
}
