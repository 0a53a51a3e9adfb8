//! What a tool's `outputSchema` must admit, so that agents accept a masked result.
//!
//! # Why
//! The official clients hold `structuredContent` to the schema of the list and refuse the whole result where a number has
//! become a text. The schema that they are shown therefore admits the mask where policy puts one. It only ever admits more.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use crate::respond::redact::mask::MASK;
use crate::respond::redact::{Pointer, escaped};

/// So many places are looked at.
const MOST: usize = 10_000;

/// Words that would judge what was masked as a whole, or by its shape.
const JUDGING: [&str; 13] = [
    "const",
    "enum",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "dependencies",
    "contains",
    "minContains",
    "maxContains",
    "uniqueItems",
    "default",
];

/// The schema with the mask admitted; `None`: it cannot be told where, so none is to be shown.
pub(in crate::respond::redact) fn admitting(mut schema: Value, pointers: &[Pointer]) -> Option<Value> {
    let mut places: Vec<(String, &[String])> =
        pointers.iter().map(|p| (String::new(), p.0.as_slice())).collect();
    let mut seen = HashSet::new();
    let mut leaves = HashSet::new();
    while let Some((at, rest)) = places.pop() {
        if !seen.insert((at.clone(), rest)) {
            continue;
        }
        if seen.len() > MOST {
            return None;
        }
        let Some((segment, below)) = rest.split_first() else {
            leaves.insert(at);
            continue;
        };
        let Some(node) = schema.pointer_mut(&at).and_then(Value::as_object_mut) else { continue };
        open(node);
        let mut next = Next { at: &at, places: Vec::new() };
        next.same(node)?;
        places.extend(next.places.drain(..).map(|place| (place, rest)));
        next.within(node, segment);
        places.extend(next.places.into_iter().map(|place| (place, below)));
    }
    // The deepest first: what is put around a schema moves what is below it.
    let mut leaves: Vec<String> = leaves.into_iter().collect();
    leaves.sort_by_key(|leaf| std::cmp::Reverse(leaf.len()));
    for leaf in leaves {
        let node = schema.pointer_mut(&leaf)?;
        if node != &Value::Bool(true) {
            *node = json!({"anyOf": [node.take(), {"const": MASK}]});
        }
    }
    Some(schema)
}

/// Takes away what would judge the mask. More than one of `oneOf` may fit a masked value.
fn open(node: &mut Map<String, Value>) {
    JUDGING.iter().for_each(|word| drop(node.remove(*word)));
    if let Some(one) = node.remove("oneOf") {
        node.entry("anyOf").or_insert(one);
    }
}

/// Where the search goes on from one schema.
struct Next<'a> {
    at: &'a str,
    places: Vec<String>,
}

impl Next<'_> {
    /// To schemas of the same value; `None` where one of them is not in this document.
    fn same(&mut self, node: &Map<String, Value>) -> Option<()> {
        match node.get("$ref") {
            None => {}
            Some(Value::String(to)) => {
                let to = to.strip_prefix('#').filter(|to| to.is_empty() || to.starts_with('/'))?;
                if to.contains('%') {
                    return None;
                }
                self.places.push(to.to_owned());
            }
            Some(_) => return None,
        }
        if node.contains_key("$dynamicRef") || node.contains_key("$recursiveRef") {
            return None;
        }
        ["allOf", "anyOf"].iter().for_each(|word| self.each(node, word));
        Some(())
    }

    /// To schemas of the members or elements that `segment` means.
    fn within(&mut self, node: &Map<String, Value>, segment: &str) {
        let any = segment == "*";
        if any {
            self.each(node, "properties");
        } else if node.get("properties").and_then(|all| all.get(segment)).is_some() {
            self.places.push(format!("{}/properties/{}", self.at, escaped(segment)));
        }
        self.each(node, "patternProperties");
        let mut words = vec!["additionalProperties", "unevaluatedProperties"];
        if any || segment.bytes().all(|b| b.is_ascii_digit()) {
            words.extend(["items", "additionalItems", "unevaluatedItems"]);
            self.each(node, "prefixItems");
        }
        for word in words {
            match node.get(word) {
                Some(Value::Object(_)) => self.places.push(format!("{}/{word}", self.at)),
                Some(Value::Array(_)) => self.each(node, word),
                Some(_) | None => {}
            }
        }
    }

    fn each(&mut self, node: &Map<String, Value>, word: &str) {
        let names: Vec<String> = match node.get(word) {
            Some(Value::Object(all)) => all.keys().map(|name| escaped(name)).collect(),
            Some(Value::Array(all)) => (0..all.len()).map(|i| i.to_string()).collect(),
            Some(_) | None => return,
        };
        self.places.extend(names.into_iter().map(|name| format!("{}/{word}/{name}", self.at)));
    }
}
