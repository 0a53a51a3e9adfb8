//! Roles that lead nowhere: grants whose servers or tags the configuration does not have.

use serde_json::Value;

use crate::decide::bundle::Bundle;
use crate::decide::problem::{At, PolicyProblem, nearest};
use crate::decide::yaml::below;
use crate::decide::{Servers, fit};

/// Every server and tag in tenants' grants that nothing in the configuration has.
pub(super) fn find(bundle: &Bundle, servers: &Servers) -> Vec<PolicyProblem> {
    let known = Known::of(servers);
    let mut doubts = Vec::new();
    let tenants = bundle.data.get("tenants").and_then(Value::as_object);
    for (tenant, entry) in tenants.into_iter().flatten() {
        let root = below(&below("/tenants", tenant), "roles");
        for (role, grants) in entry.get("roles").and_then(Value::as_object).into_iter().flatten() {
            for (i, grant) in grants.as_array().into_iter().flatten().enumerate() {
                let at = below(&below(&root, role), &i.to_string());
                doubts.extend(known.grant(bundle, role, grant, &at));
            }
        }
    }
    doubts
}

struct Known {
    servers: Vec<String>,
    server_tags: Vec<String>,
    /// Tags that the configuration gives to tools.
    tool_tags: Vec<String>,
}

impl Known {
    fn of(servers: &Servers) -> Self {
        let tags = servers.values().flat_map(|server| &server.tags);
        let tool_tags = servers.values().flat_map(|server| &server.tools).flat_map(|rule| &rule.tags);
        Self {
            servers: servers.keys().map(ToString::to_string).collect(),
            server_tags: tags.map(|tag| format!("tag:{tag}")).collect(),
            tool_tags: tool_tags.map(ToString::to_string).collect(),
        }
    }

    fn grant(&self, bundle: &Bundle, role: &str, grant: &Value, at: &str) -> Vec<PolicyProblem> {
        let mut doubts = Vec::new();
        let servers: Vec<&str> = self.servers.iter().chain(&self.server_tags).map(String::as_str).collect();
        let tags: Vec<&str> = self.tool_tags.iter().map(String::as_str).collect();
        for (key, known, what) in [
            ("servers", servers, "has no such server or tag of one"),
            ("tags", tags, "gives no tool such a tag"),
        ] {
            for (i, name) in texts(grant, key) {
                if name != "*" && !known.contains(&name) {
                    let place = below(&below(at, key), &i.to_string());
                    doubts.push(doubt(bundle, &place, role, what, name, &known));
                }
            }
        }
        doubts
    }
}

fn texts<'a>(grant: &'a Value, key: &str) -> Vec<(usize, &'a str)> {
    let items = grant.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().enumerate().filter_map(|(i, item)| Some((i, item.as_str()?))).collect()
}

fn doubt(
    bundle: &Bundle,
    pointer: &str,
    role: &str,
    kind: &str,
    name: &str,
    known: &[&str],
) -> PolicyProblem {
    let (file, at) = fit::place(bundle, pointer).unwrap_or_else(|| ("data".to_owned(), At::START));
    let what = format!("role `{role}` names `{name}`, and the configuration {kind}");
    let fix = match (nearest(name, known.iter().copied()), known) {
        (Some(near), _) => format!("the nearest is `{near}`"),
        (None, []) => "it has none at all".to_owned(),
        (None, known) => format!("it has {}", known.join(", ")),
    };
    PolicyProblem::new(&file, at, what, fix)
}
