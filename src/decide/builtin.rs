//! The functions that a policy may call.

use crate::decide::paths::Call;

/// How long a list one call may make: the time limit is not looked at inside a function.
const LONGEST: f64 = 10_000.0;

/// The engine's functions, sorted. A test asks the engine for each of them.
pub(in crate::decide) const NAMES: &[&str] = &[
    "abs",
    "array.concat",
    "array.reverse",
    "array.slice",
    "base64.decode",
    "base64.encode",
    "base64.is_valid",
    "base64url.decode",
    "base64url.encode",
    "base64url.encode_no_pad",
    "bits.and",
    "bits.lsh",
    "bits.negate",
    "bits.or",
    "bits.rsh",
    "bits.xor",
    "ceil",
    "concat",
    "contains",
    "count",
    "endswith",
    "floor",
    "format_int",
    "glob.match",
    "glob.quote_meta",
    "graph.reachable",
    "graph.reachable_paths",
    "hex.decode",
    "hex.encode",
    "indexof",
    "indexof_n",
    "intersection",
    "is_array",
    "is_boolean",
    "is_null",
    "is_number",
    "is_object",
    "is_set",
    "is_string",
    "json.filter",
    "json.is_valid",
    "json.marshal",
    "json.marshal_with_options",
    "json.match_schema",
    "json.patch",
    "json.remove",
    "json.unmarshal",
    "json.verify_schema",
    "lower",
    "max",
    "min",
    "net.cidr_contains",
    "net.cidr_expand",
    "net.cidr_is_valid",
    "numbers.range",
    "numbers.range_step",
    "object.filter",
    "object.get",
    "object.keys",
    "object.remove",
    "object.subset",
    "object.union",
    "object.union_n",
    "opa.runtime",
    "print",
    "product",
    "rand.intn",
    "regex.find_all_string_submatch_n",
    "regex.find_n",
    "regex.is_valid",
    "regex.match",
    "regex.replace",
    "regex.split",
    "regex.template_match",
    "replace",
    "round",
    "semver.compare",
    "semver.is_valid",
    "sort",
    "split",
    "sprintf",
    "startswith",
    "strings.any_prefix_match",
    "strings.any_suffix_match",
    "strings.count",
    "strings.replace_n",
    "strings.reverse",
    "substring",
    "sum",
    "time.add_date",
    "time.clock",
    "time.date",
    "time.diff",
    "time.format",
    "time.now_ns",
    "time.parse_duration_ns",
    "time.parse_ns",
    "time.parse_rfc3339_ns",
    "time.weekday",
    "to_number",
    "trace",
    "trim",
    "trim_left",
    "trim_prefix",
    "trim_right",
    "trim_space",
    "trim_suffix",
    "type_name",
    "union",
    "units.parse",
    "units.parse_bytes",
    "upper",
    "urlquery.decode",
    "urlquery.decode_object",
    "urlquery.encode",
    "urlquery.encode_object",
    "uuid.parse",
    "uuid.rfc4122",
    "walk",
    "yaml.is_valid",
    "yaml.marshal",
    "yaml.unmarshal",
];

/// Whether there is such a function.
pub(in crate::decide) fn exists(name: &str) -> bool {
    NAMES.binary_search(&name).is_ok()
}

/// How many arguments a function takes; `None`: any number, or there is no such function.
pub(in crate::decide) fn takes(name: &str) -> Option<usize> {
    match name {
        "print" => None,
        "opa.runtime" | "time.now_ns" => Some(0),
        "array.concat"
        | "bits.and"
        | "bits.lsh"
        | "bits.or"
        | "bits.rsh"
        | "bits.xor"
        | "concat"
        | "contains"
        | "endswith"
        | "format_int"
        | "graph.reachable"
        | "graph.reachable_paths"
        | "indexof"
        | "indexof_n"
        | "json.filter"
        | "json.marshal_with_options"
        | "json.match_schema"
        | "json.patch"
        | "json.remove"
        | "net.cidr_contains"
        | "numbers.range"
        | "object.filter"
        | "object.remove"
        | "object.subset"
        | "object.union"
        | "rand.intn"
        | "regex.match"
        | "regex.split"
        | "semver.compare"
        | "split"
        | "sprintf"
        | "startswith"
        | "strings.any_prefix_match"
        | "strings.any_suffix_match"
        | "strings.count"
        | "strings.replace_n"
        | "time.diff"
        | "time.parse_ns"
        | "trim"
        | "trim_left"
        | "trim_prefix"
        | "trim_right"
        | "trim_suffix" => Some(2),
        "array.slice"
        | "glob.match"
        | "numbers.range_step"
        | "object.get"
        | "regex.find_all_string_submatch_n"
        | "regex.find_n"
        | "regex.replace"
        | "replace"
        | "substring" => Some(3),
        "regex.template_match" | "time.add_date" => Some(4),
        _ => exists(name).then_some(1),
    }
}

/// Functions that could hold a thread for longer than the time limit, or fill the memory: what is wrong, and what
/// would be right.
pub(in crate::decide) fn refused(name: &str, call: &Call) -> Option<(String, String)> {
    let number = |at: usize| call.numbers.get(at).copied().flatten();
    let limited = |bound: Option<f64>| bound.is_some_and(|n| n.abs() <= LONGEST);
    let what = |what: &str| format!("`{name}` {what}");
    match name {
        "numbers.range" | "numbers.range_step" if !limited(number(0)) || !limited(number(1)) => {
            Some((what("could run past the time limit"), format!("give it literal numbers up to {LONGEST}")))
        }
        "bits.lsh" if !number(1).is_some_and(|n| n <= 64.0) => {
            Some((what("could fill the memory"), "give it a literal number up to 64".to_owned()))
        }
        "net.cidr_expand" => Some((what("could fill the memory"), "ask with `net.cidr_contains`".to_owned())),
        "graph.reachable_paths" => {
            Some((what("could run past the time limit"), "ask with `graph.reachable`".to_owned()))
        }
        "http.send" => Some((
            what("does not exist here: a decision depends on its input alone"),
            "put what it would fetch into a data file".to_owned(),
        )),
        _ => None,
    }
}
