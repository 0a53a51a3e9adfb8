//! What a tool does, from what the operator, its annotations, or its name say of it.
//!
//! # Why pessimistic
//! `methods: [read]` must admit nothing that writes. A verb that we do not know, or a name that has a writing verb
//! beside a reading one (`get_or_create`), is custom.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::catalogue::Class;
use crate::config::Server;
use crate::name::ToolName;

const LIST: &[&str] = &["list", "search", "find", "browse", "enumerate"];
const GET: &[&str] = &["get", "read", "fetch", "show", "describe", "view", "lookup", "count"];
const CREATE: &[&str] = &["create", "add", "insert", "new", "upload"];
const UPDATE: &[&str] =
    &["update", "edit", "modify", "set", "patch", "put", "rename", "move", "upsert", "replace"];
const DELETE: &[&str] = &["delete", "remove", "destroy", "purge", "drop", "erase"];
/// Verbs that may do anything: beside a reading verb they make a tool custom.
const ANY: &[&str] =
    &["run", "execute", "exec", "send", "invoke", "call", "approve", "release", "post", "submit"];

/// Words that vendors put before the verb.
const PREFIXES: &[&str] = &[
    "netsuite",
    "ns",
    "sap",
    "s4",
    "salesforce",
    "sf",
    "procore",
    "bamboohr",
    "hris",
    "m365",
    "ms365",
    "microsoft",
    "graph",
    "gis",
    "mcp",
];

/// The hints that a trusted server gives (MCP `ToolAnnotations`).
#[derive(Deserialize, Default)]
struct Hints {
    #[serde(rename = "readOnlyHint")]
    read_only: Option<bool>,
}

/// The operation that the operator wrote.
pub(in crate::catalogue) fn written(operation: &str) -> (Arc<str>, Class) {
    (operation.into(), class_of(operation))
}

/// The operation by annotations, where there are any to be believed, else by name.
pub(in crate::catalogue) fn derived(
    server: &Server,
    name: &ToolName,
    annotations: Option<&RawValue>,
) -> (Arc<str>, Class) {
    let hints: Hints = annotations.and_then(|text| serde_json::from_str(text.get()).ok()).unwrap_or_default();
    let (verb, operation) = by_name(server, name);
    match hints.read_only {
        Some(true) if operation == Some("list") => ("list".into(), Class::Read),
        Some(true) => ("get".into(), Class::Read),
        Some(false) => match operation {
            Some(operation @ ("create" | "update" | "delete")) => (operation.into(), Class::Write),
            _ => (verb.into(), Class::Custom),
        },
        None => match operation {
            Some(operation) => (operation.into(), class_of(operation)),
            None => (verb.into(), Class::Custom),
        },
    }
}

fn class_of(operation: &str) -> Class {
    match operation {
        "list" | "get" => Class::Read,
        "create" | "update" | "delete" => Class::Write,
        _ => Class::Custom,
    }
}

/// The verb of a name, and the operation that it stands for where that is certain.
fn by_name(server: &Server, name: &ToolName) -> (String, Option<&'static str>) {
    let words = words(name.as_str());
    let own = words_of_server(server);
    let mut rest = words.iter().skip_while(|word| PREFIXES.contains(&word.as_str()) || own.contains(*word));
    let Some(verb) = rest.next() else {
        return (words.into_iter().next().unwrap_or_else(|| "unknown".to_owned()), None);
    };
    let operation = operation_of(verb);
    let certain = match operation {
        Some("list" | "get") => !rest.any(|word| writes(word)),
        _ => true,
    };
    (verb.clone(), operation.filter(|_| certain))
}

/// A name as one says it, where it begins with a known verb: `create a purchase order`.
pub(in crate::catalogue) fn spoken(server: &Server, name: &ToolName) -> Option<String> {
    let own = words_of_server(server);
    let words = words(name.as_str());
    let mut words = words.iter().filter(|word| !PREFIXES.contains(&word.as_str()) && !own.contains(*word));
    let verb = words.next()?;
    let things: Vec<&str> = words.map(String::as_str).collect();
    let thing = things.join(" ");
    if !(operation_of(verb).is_some() || ANY.contains(&verb.as_str())) || thing.is_empty() {
        return None;
    }
    let several = thing.ends_with('s') && !thing.ends_with("ss");
    let counted = operation_of(verb).is_some_and(|operation| operation != "list")
        || ["approve", "release", "post", "submit", "send"].contains(&verb.as_str());
    let article = match (
        several || !counted || things.first() == Some(&"all"),
        thing.starts_with(['a', 'e', 'i', 'o', 'u']),
    ) {
        (true, _) => "",
        (false, true) => "an ",
        (false, false) => "a ",
    };
    Some(format!("{verb} {article}{thing}"))
}

fn operation_of(verb: &str) -> Option<&'static str> {
    let tables = [("list", LIST), ("get", GET), ("create", CREATE), ("update", UPDATE), ("delete", DELETE)];
    tables.into_iter().find(|(_, verbs)| verbs.contains(&verb)).map(|(operation, _)| operation)
}

fn writes(word: &str) -> bool {
    [CREATE, UPDATE, DELETE, ANY].iter().any(|verbs| verbs.contains(&word))
}

fn words_of_server(server: &Server) -> Vec<String> {
    words(server.name.as_str())
}

/// The words of a name: split at `_`, `-`, `.`, `/`, and where camel case begins a new one.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut previous = '_';
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        if !letter.is_alphanumeric() {
            words.push(String::new());
        } else {
            let ends_capitals =
                previous.is_uppercase() && letters.peek().is_some_and(|next| next.is_lowercase());
            if letter.is_uppercase() && (!previous.is_uppercase() || ends_capitals) {
                words.push(String::new());
            }
            if let Some(word) = words.last_mut() {
                word.extend(letter.to_lowercase());
            }
        }
        previous = letter;
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str) -> Server {
        crate::config::server_for_test(name, "http://127.0.0.1:1/mcp")
    }

    fn by_name_of(name: &str) -> (String, Class) {
        let (operation, class) = derived(&server("erp"), &ToolName::parse(name).unwrap(), None);
        (operation.to_string(), class)
    }

    #[test]
    fn the_verb_in_a_name_gives_the_operation() {
        for (name, operation, class) in [
            ("list_all_netsuite_invoices", "list", Class::Read),
            ("getInvoice", "get", Class::Read),
            ("netsuite_create_record", "create", Class::Write),
            ("ns_updateRecord", "update", Class::Write),
            ("erp.delete-customer", "delete", Class::Write),
            ("SFSearchAccounts", "list", Class::Read),
        ] {
            assert_eq!(by_name_of(name), (operation.to_owned(), class), "{name}");
        }
    }

    #[test]
    fn an_unknown_verb_is_custom_and_never_read() {
        for name in
            ["ns_runCustomSuiteQL", "run_get_report", "get_or_create_customer", "release_order", "x", "___"]
        {
            assert_eq!(by_name_of(name).1, Class::Custom, "{name}");
        }
    }

    #[test]
    fn annotations_count_only_where_they_are_believed() {
        let hints = RawValue::from_string(r#"{"readOnlyHint":true}"#.into()).unwrap();
        let name = ToolName::parse("delete_everything").unwrap();
        assert_eq!(
            crate::catalogue::Tool::described(&server("erp"), name.clone(), Some(&hints)).class,
            Class::Write
        );
        let mut trusting = server("erp");
        trusting.trust_annotations = true;
        assert_eq!(crate::catalogue::Tool::described(&trusting, name, Some(&hints)).class, Class::Read);
    }
}
