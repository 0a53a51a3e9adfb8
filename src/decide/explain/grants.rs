//! The grants of the stock policies that do not cover a question: what of each fails first, and what would have to change.
//!
//! # Why the policy is asked
//! Whether a condition holds is said by the policy's own rules, put to them grant by grant. Only the words are made here,
//! so that they cannot tell of another policy than the one that decides.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::decide::explain::why::Known;
use crate::decide::rego::Inspection;
use crate::decide::{Question, Subject};

/// The rules of the stock policies that are asked.
const STOCK: [&str; 9] = [
    "server_terms",
    "admits",
    "carries_tag",
    "conditions_hold",
    "one_matches",
    "names_resource",
    "tool_kinds",
    "reading",
    "spares",
];

/// A grant of one of the caller's roles that does not cover the question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Miss {
    /// Its name: `acme/regional-manager/0`.
    pub rule: String,
    /// Its role.
    pub role: String,
    /// The key of the first condition that fails; `None`: all hold.
    pub failed: Option<&'static str>,
    /// Why it does not cover the question.
    pub because: String,
    /// What would have to change.
    pub change: String,
    /// Whether it covers the question if the caller has what is not known of them.
    pub depends: bool,
    /// How many of its conditions hold before the first that fails.
    #[serde(skip)]
    pub(super) held_conditions: usize,
    /// What it names under the key that fails.
    #[serde(skip)]
    pub(super) names: Vec<String>,
}

/// What the stock policies know of a question.
#[derive(Debug)]
pub(super) struct Grants {
    /// The caller's roles, as the policy takes them.
    pub(super) roles: Vec<String>,
    /// Which of them the tenant has.
    pub(super) known_roles: Vec<String>,
    /// The grants of these roles that do not cover the question.
    pub(super) misses: Vec<Miss>,
    /// The tenant's other roles that would, each with its grant.
    pub(super) others: Vec<(String, String)>,
    /// The rules of `deny` that refuse it.
    pub(super) denying: Vec<Value>,
}

/// The rules that would allow it to whoever had every role. The index answers that, however many grants there are.
const OTHERS: &str =
    "rules with input.caller.roles as [role | some role, _ in data.tenants[input.caller.tenant].roles]";

/// One condition: its key, and the Rego that says whether it holds.
type Condition = (&'static str, &'static str);

const SERVERS: Condition = ("servers", "count([1 | some term in grant.servers; term in server_terms]) > 0");
const TOOLS: Condition = (
    "tools",
    "count([1 | one_matches(grant.tools, input.tool.name)]) + count([1 | not grant.tools; not grant.resources; not grant.prompts]) \
     + count([1 | not grant.tools; grant.tags]) + count([1 | not grant.tools; grant.methods]) > 0",
);
const TOOL_METHODS: Condition = ("methods", "count([1 | admits(grant, tool_kinds)]) > 0");
const TAGS: Condition = ("tags", "count([1 | carries_tag(grant)]) > 0");
const RESOURCES: Condition = ("resources", "count([1 | names_resource(grant.resources)]) > 0");
const PROMPTS: Condition = ("prompts", "count([1 | one_matches(grant.prompts, input.prompt.name)]) > 0");
const READING: Condition = ("methods", "count([1 | admits(grant, reading)]) > 0");
const WHEN: Condition = (
    "when",
    "count([1 | not grant.when]) + count([1 | conditions_hold({\"limits\": {\"when\": grant.when}})]) > 0",
);

fn conditions(subject: &Subject) -> &'static [Condition] {
    match subject {
        Subject::Tool(_) => &[SERVERS, TOOLS, TOOL_METHODS, TAGS, WHEN],
        Subject::Resource(_) => &[SERVERS, RESOURCES, READING, WHEN],
        Subject::Prompt(_) => &[SERVERS, PROMPTS, READING, WHEN],
        Subject::Server => &[SERVERS, WHEN],
    }
}

impl Grants {
    /// Asks the policy, where it is the stock one.
    pub(super) fn ask(
        inspection: &Inspection,
        question: &Question<'_>,
        rules: &[Arc<str>],
        known: Known,
    ) -> Option<Self> {
        if !inspection.has(&STOCK) {
            return None;
        }
        let conditions = conditions(question.subject);
        let conditions = match known {
            Known::Whole => conditions,
            // They stand last.
            Known::WithoutAttributes => conditions.split_last().map_or(conditions, |(_, others)| others),
        };
        let tenant = question.caller.tenant().as_str();
        let roles = texts(inspection.value("roles"));
        let named = inspection.value("object.keys(data.tenants[input.caller.tenant].roles)");
        let tenants_roles = texts(named);
        let grants = inspection.value(&rego(conditions))?;
        let misses = list(Some(grants)).into_iter().filter_map(|found| {
            let role = found.get("role")?.as_str()?.to_owned();
            let rule = format!("{tenant}/{role}/{}", found.get("position")?);
            let covers = rules.iter().any(|other| **other == *rule);
            let miss = Miss::of(rule, role, &found, conditions, question)?;
            (!covers).then_some(miss)
        });
        let misses = misses.collect();
        let prefix = format!("{tenant}/");
        let others = texts(inspection.value(OTHERS)).into_iter().filter_map(|rule| {
            let role = rule.strip_prefix(&prefix)?.rsplit_once('/')?.0.to_owned();
            (!roles.contains(&role)).then_some((role, rule))
        });
        let others = others.collect();
        let known_roles = roles.iter().filter(|role| tenants_roles.contains(role)).cloned().collect();
        let denying = list(
            inspection
                .value("[rule | some rule in data.tenants[input.caller.tenant].deny; not spares(rule)]"),
        );
        Some(Self { roles, known_roles, misses, others, denying })
    }
}

/// Every grant of the caller's roles, with what holds of it.
fn rego(conditions: &[Condition]) -> String {
    let holds: Vec<String> = conditions.iter().map(|(key, rego)| format!("{key:?}: {rego}")).collect();
    format!(
        "[{{\"role\": role, \"position\": position, \"grant\": grant, \"holds\": holds}} |\n\
         some role in roles\n\
         some position, grant in data.tenants[input.caller.tenant].roles[role]\n\
         holds := {{{}}}]",
        holds.join(", ")
    )
}

impl Miss {
    fn of(
        rule: String,
        role: String,
        found: &Value,
        conditions: &[Condition],
        question: &Question<'_>,
    ) -> Option<Self> {
        let grant = found.get("grant")?.as_object()?;
        let holds =
            |key: &str| found.get("holds").and_then(|holds| holds.get(key)) == Some(&Value::Bool(true));
        let failing: Vec<&'static str> =
            conditions.iter().map(|(key, _)| *key).filter(|key| !holds(key)).collect();
        let failed = failing.first().copied();
        let because = failed.map(|key| because(key, grant, question)).unwrap_or_default();
        let unseen = if conditions.last() == Some(&WHEN) { Vec::new() } else { lacking(grant, question) };
        let depends = failed.is_none() && !unseen.is_empty();
        let because = match depends {
            true => format!("the caller has {}, which the audit does not keep", joined(&unseen)),
            false => because,
        };
        let changes: Vec<String> = failing.iter().map(|key| change(key, grant, question)).collect();
        Some(Self {
            rule,
            role,
            failed,
            because,
            depends,
            change: changes.join(", and "),
            held_conditions: conditions.iter().take_while(|(key, _)| holds(key)).count(),
            names: failed.map(|key| texts(grant.get(key).cloned())).unwrap_or_default(),
        })
    }
}

fn because(key: &str, grant: &Map<String, Value>, question: &Question<'_>) -> String {
    let names = texts(grant.get(key).cloned());
    let server = &question.server.name;
    match (key, question.subject) {
        ("servers", _) => format!("it is for {}, and not for `{server}`", joined(&names)),
        ("tools", _) if names.is_empty() => "it says nothing of tools".to_owned(),
        ("tools", Subject::Tool(tool)) => {
            format!("its tools are {}, and not `{}`", joined(&names), tool.name)
        }
        ("methods", Subject::Tool(tool)) => {
            format!(
                "its methods are {}, and the tool is {} ({})",
                joined(&names),
                tool.operation,
                tool.class.as_str()
            )
        }
        ("methods", _) => format!("its methods are {}, and this reads", joined(&names)),
        ("tags", Subject::Tool(tool)) => {
            let tags: Vec<String> = tool.tags.iter().map(ToString::to_string).collect();
            format!("its tags are {}, and the tool's are {}", joined(&names), joined(&tags))
        }
        ("resources" | "prompts", _) if names.is_empty() => format!("it says nothing of {key}"),
        ("resources" | "prompts", _) => format!("its {key} are {}", joined(&names)),
        ("when", _) => {
            format!("its `when` needs {}, which the caller does not have", joined(&lacking(grant, question)))
        }
        _ => format!("its `{key}` does not hold"),
    }
}

fn change(key: &str, grant: &Map<String, Value>, question: &Question<'_>) -> String {
    match (key, question.subject) {
        ("servers", _) => format!("add `{}` to its `servers`", question.server.name),
        ("tools", Subject::Tool(tool)) => format!("add `{}` to its `tools`", tool.name),
        ("methods", Subject::Tool(tool)) => format!("add `{}` to its `methods`", tool.operation),
        ("methods", _) => "add `read` to its `methods`".to_owned(),
        ("tags", Subject::Tool(_)) => "give the tool one of its `tags`, or take `tags` away".to_owned(),
        ("resources", Subject::Resource(name)) | ("prompts", Subject::Prompt(name)) => {
            format!("add `{name}` to its `{key}`")
        }
        ("when", _) => format!("give the caller {}", joined(&lacking(grant, question))),
        _ => format!("change its `{key}`"),
    }
}

/// What of the caller the conditions of a grant take, and the caller has not.
fn lacking(grant: &Map<String, Value>, question: &Question<'_>) -> Vec<String> {
    let caller = question.caller;
    let conditions = grant.get("when").and_then(Value::as_object).into_iter().flat_map(Map::values);
    let names = conditions.filter_map(|condition| condition.as_str()?.strip_prefix("caller."));
    let there = |name: &str| match name {
        "user" => caller.user().is_some(),
        "agent" => caller.agent().is_some(),
        "tenant" => true,
        name => caller.attributes().contains_key(name),
    };
    names.filter(|name| !there(name)).map(|name| format!("`{name}`")).collect()
}

pub(super) fn joined(names: &[String]) -> String {
    const SHOWN: usize = 12;
    match names.len() {
        0 => "none".to_owned(),
        n if n > SHOWN => format!(
            "{} and {} more",
            names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", "),
            n - SHOWN
        ),
        _ => names.join(", "),
    }
}

fn list(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(items)) => items,
        Some(_) | None => Vec::new(),
    }
}

fn texts(value: Option<Value>) -> Vec<String> {
    list(value).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}
