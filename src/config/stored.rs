//! An account that was made while the gate runs: the entry that could stand under `accounts`, by the same schema, the same
//! parser and in the same words.
//!
//! # Why it may name less
//! Who makes it may be a tenant's admin. A path, a command or a variable of the gate's host is not theirs to name, and a
//! secret in clear would be read back by whoever reads the entry: each such alternative is cut out of the schema, so that
//! one that comes later is cut out as well.

use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Map, Value};

use super::fill::Env;
use super::parse::{Known, stored_account};
use super::problem::BadConfig;
use super::raw::RawAccount;
use super::report::Report;
use super::source::Node;
use super::{Account, Config, schema, structure};
use crate::name::{ServerName, TenantId};

/// The words of the schema for a secret that stands in the open, is had by running something on the gate's host, or is at a
/// place of which nobody knows whose it is.
const NOT_THEIRS: [&str; 3] = ["inline", "command", "path"];
/// The format of what names a file or a directory.
const PATH: &str = "path";

/// What an account's schema is for the admin API. `tenant` and `server` are in it.
#[must_use]
pub fn account_schema() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let mut schema = schema::of::<RawAccount>();
        narrow(&mut schema);
        schema
    })
}

impl Config {
    /// The account that `written` is: an entry of `accounts` without `tenant` and `server`.
    ///
    /// # Errors
    /// Every mistake in it, by key.
    pub fn checked_account(
        &self,
        tenant: &TenantId,
        server: &ServerName,
        written: &Value,
    ) -> Result<Account, Vec<BadConfig>> {
        let mut report = Report::new(Path::new(""), &Nothing);
        let mut tree = Node::made(&entry(tenant, server, written));
        tree.cut_nulls();
        let unfit = structure::fit(&mut tree, account_schema());
        report.slips(unfit);
        let raw: Result<RawAccount, _> = serde_json::from_value(tree.value());
        report.reads(tree);
        match raw {
            Ok(raw) => self.account_of(raw, report),
            Err(_) => {
                if !report.has_errors() {
                    report.whole("it does not fit its schema", "compare with `/v1/openapi.json`");
                }
                Err(report.into_errors())
            }
        }
    }

    /// The account that was checked when it was stored. The configuration may have changed since.
    ///
    /// # Errors
    /// Every mistake in it, by key.
    pub fn stored_account(
        &self,
        tenant: &TenantId,
        server: &ServerName,
        written: &Value,
    ) -> Result<Account, Vec<BadConfig>> {
        let mut report = Report::new(Path::new(""), &Nothing);
        match serde_json::from_value(entry(tenant, server, written)) {
            Ok(raw) => self.account_of(raw, report),
            Err(_) => {
                report.whole("it does not fit its schema", "write it again");
                Err(report.into_errors())
            }
        }
    }

    fn account_of(&self, raw: RawAccount, mut report: Report<'_>) -> Result<Account, Vec<BadConfig>> {
        report.server_names = self.servers.keys().map(ToString::to_string).collect();
        let known = Known { servers: &self.servers, secrets: &self.secrets, vouch: &self.vouch };
        match stored_account(raw, known, &mut report) {
            Some(account) if !report.has_errors() => Ok(account),
            Some(_) | None => Err(report.into_errors()),
        }
    }
}

fn entry(tenant: &TenantId, server: &ServerName, written: &Value) -> Value {
    let mut entry = written.as_object().cloned().unwrap_or_default();
    entry.insert("tenant".to_owned(), Value::String(tenant.to_string()));
    entry.insert("server".to_owned(), Value::String(server.to_string()));
    Value::Object(entry)
}

/// No variable of the gate's process is filled in.
struct Nothing;

impl Env for Nothing {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }

    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
}

/// Cuts out what names something of the gate's host, and secrets in the open.
fn narrow(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            for list in ["oneOf", "anyOf"] {
                if let Some(Value::Array(branches)) = object.get_mut(list) {
                    branches.retain(|branch| !is_of_the_host(branch));
                }
            }
            if let Some(Value::Object(properties)) = object.get_mut("properties") {
                properties.retain(|name, schema| !is_not_theirs(name, schema));
            }
            object.values_mut().for_each(narrow);
        }
        Value::Array(items) => items.iter_mut().for_each(narrow),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether an alternative is a path, or a map with nothing but one that is.
fn is_of_the_host(branch: &Value) -> bool {
    let needed = |properties: &Map<String, Value>| {
        let required = branch.get("required").and_then(Value::as_array);
        let required = required.into_iter().flatten().filter_map(Value::as_str);
        required
            .filter_map(|name| properties.get_key_value(name))
            .any(|(name, schema)| is_not_theirs(name, schema))
    };
    is_path(branch) || branch.get("properties").and_then(Value::as_object).is_some_and(needed)
}

fn is_not_theirs(name: &str, schema: &Value) -> bool {
    NOT_THEIRS.contains(&name) || is_path(schema)
}

fn is_path(schema: &Value) -> bool {
    schema.get("format").and_then(Value::as_str) == Some(PATH)
}

impl Node {
    /// A tree that stands in no file.
    fn made(value: &Value) -> Self {
        use super::problem::Place;
        use super::source::{Data, Entry, Item};
        let place = Place { line: 0, column: 0 };
        let data = match value {
            Value::Null => Data::Null,
            Value::Bool(is) => Data::Bool(*is),
            Value::Number(number) => Data::Number(number.clone()),
            Value::String(text) => Data::Text(text.clone()),
            Value::Array(items) => {
                let item = |(index, value): (usize, &Value)| Item { index, value: Self::made(value) };
                Data::List(items.iter().enumerate().map(item).collect())
            }
            Value::Object(members) => {
                let entry = |(key, value): (&String, &Value)| Entry {
                    key: key.clone(),
                    place,
                    value: Self::made(value),
                };
                Data::Map(members.iter().map(entry).collect())
            }
        };
        Self { place, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(schema: &Value, found: &dyn Fn(&str, &Value) -> bool) -> bool {
        match schema {
            Value::Object(object) => object.iter().any(|(key, value)| found(key, value) || any(value, found)),
            Value::Array(items) => items.iter().any(|item| any(item, found)),
            _ => false,
        }
    }

    #[test]
    fn nothing_in_the_schema_of_a_stored_account_names_the_host_of_the_gate() {
        let schema = account_schema();
        assert!(!any(schema, &|key, value| key == "format" && value == PATH), "{schema:#}");
        assert!(!any(schema, &|key, _| NOT_THEIRS.contains(&key)), "{schema:#}");
        assert!(any(schema, &|_, value| value == "sealed"), "{schema:#}");
    }
}
