use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::decide::constraint::{Constraints, Narrowed};
use crate::refusal::Refusal;

fn constraints(schemas: &Value) -> Constraints {
    let schemas = schemas.as_object().unwrap().iter();
    Constraints::ready(schemas.map(|(name, schema)| (name.clone(), schema.clone())).collect()).unwrap()
}

fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap()
}

/// The schema that the list shows; `None`: the tool is not shown.
fn narrowed(constraints: &Value, schema: &Value) -> Option<Value> {
    match self::constraints(constraints).narrow(Some(&raw(schema))) {
        Narrowed::To(schema) => Some(serde_json::from_str(schema.get()).unwrap()),
        Narrowed::Unusable => None,
        Narrowed::AsIs => panic!("unchanged"),
    }
}

fn refused(constraints: &Value, arguments: &Value) -> Option<(String, String)> {
    match self::constraints(constraints).hold(Some(&raw(arguments))) {
        Ok(()) => None,
        Err(Refusal::Constrained { argument, message }) => Some((argument, message)),
        Err(other) => panic!("{other:?}"),
    }
}

fn bad(argument: &str, schema: Value) -> String {
    Constraints::ready(vec![(argument.to_owned(), schema)]).expect_err("it is ready").to_string()
}

#[test]
fn an_argument_within_an_argument_is_held_and_told_by_its_place() {
    let region = json!({"/filter/region": {"const": "EMEA"}});
    let must = |at: &str, why: &str| Some((at.to_owned(), why.to_owned()));
    assert_eq!(refused(&region, &json!({"filter": {"region": "EMEA", "x": 1}})), None);
    let absent = must("/filter/region", "it must be given, and must be \"EMEA\"");
    for arguments in [json!({}), json!({"filter": {}}), json!({"Filter": {"region": "EMEA"}})] {
        assert_eq!(refused(&region, &arguments), absent, "{arguments}");
    }
    assert_eq!(
        refused(&region, &json!({"filter": {"region": "US"}})),
        must("/filter/region", "must be \"EMEA\"")
    );
    for given in [json!(null), json!("{\"region\":\"EMEA\"}"), json!([{"region": "EMEA"}])] {
        assert_eq!(refused(&region, &json!({"filter": given})), must("/filter", "must be an object"));
    }
}

#[test]
fn a_twin_at_any_level_is_refused() {
    let region = json!({"/filter/region": {"const": "EMEA"}});
    for arguments in [
        json!({"filter": {"region": "EMEA"}, "FILTER": {"region": "US"}}),
        json!({"filter": {"region": "EMEA", "Region": "US"}}),
    ] {
        assert!(refused(&region, &arguments).unwrap().1.contains("could be taken for it"), "{arguments}");
    }
}

#[test]
fn every_element_of_an_array_is_held_and_there_must_be_one() {
    let account = json!({"/items/*/account": {"enum": ["a", "b"]}});
    let items = |items: Value| refused(&account, &json!({"items": items}));
    assert_eq!(items(json!([{"account": "a"}, {"account": "b"}])), None);
    let second = items(json!([{"account": "a"}, {"account": "c"}])).unwrap();
    assert_eq!(second, ("/items/1/account".into(), "must be one of \"a\", \"b\"".into()));
    assert_eq!(items(json!([{"account": "a"}, {}])).unwrap().0, "/items/1/account");
    assert_eq!(items(json!([])).unwrap(), ("/items".into(), "must not be empty".into()));
    assert_eq!(items(json!({"0": {"account": "a"}})).unwrap(), ("/items".into(), "must be an array".into()));
    assert_eq!(refused(&account, &json!({})).unwrap().0, "/items/*/account");
    let nested = json!({"/m/*/*": {"type": "integer"}});
    assert_eq!(refused(&nested, &json!({"m": [[1], [2, 3]]})), None);
    assert_eq!(refused(&nested, &json!({"m": [[1], [2, "3"]]})).unwrap().0, "/m/1/1");
}

#[test]
fn a_name_with_a_dot_or_a_slash_is_a_name() {
    for (key, arguments) in [
        ("filter.region", json!({"filter.region": "EMEA"})),
        ("a/b", json!({"a/b": "EMEA"})),
        ("a~b", json!({"a~b": "EMEA"})),
        ("*", json!({"*": "EMEA"})),
        ("/~1x", json!({"/x": "EMEA"})),
        ("/a~1b/c~0d", json!({"a/b": {"c~d": "EMEA"}})),
        ("/", json!({"": "EMEA"})),
    ] {
        assert_eq!(refused(&json!({key: {"const": "EMEA"}}), &arguments), None, "{key}");
        assert!(refused(&json!({key: {"const": "US"}}), &arguments).is_some(), "{key}");
    }
}

#[test]
fn what_is_no_place_or_cannot_be_held_is_refused() {
    assert!(bad("/a~2", json!({})).contains("is no JSON Pointer"));
    assert!(bad("/*/a", json!({})).contains("must begin with the name of an argument"));
    assert!(bad("a", json!({"$ref": "#name", "$anchor": "name"})).contains("leads out of its schema"));
    assert!(bad("a", json!({"$dynamicRef": "#x"})).contains("leads out of its schema"));
    assert!(bad("a", json!({"items": {"format": "no-such"}})).contains("is not a JSON Schema"));
}

#[test]
fn the_format_of_a_constraint_is_held_to() {
    for (format, good, wrong) in [
        ("date", "2026-07-28", "28.7.2026"),
        ("date-time", "2026-07-28T10:00:00Z", "2026-07-28"),
        ("time", "10:00:00Z", "10"),
        ("email", "a@acme.example", "acme"),
        ("hostname", "acme.example", "-acme"),
        ("ipv4", "10.0.0.7", "10.0.0"),
        ("ipv6", "::1", "10.0.0.7"),
        ("uri", "https://acme.example/x", "acme"),
        ("uuid", "01920000-0000-7000-8000-000000000000", "0192"),
        ("regex", "^a$", "("),
        ("json-pointer", "/a", "a"),
        ("duration", "P1D", "1d"),
    ] {
        let limit = json!({"/a/*": {"type": "string", "format": format}});
        assert_eq!(refused(&limit, &json!({"a": [good]})), None, "{format}");
        assert!(refused(&limit, &json!({"a": [good, wrong]})).is_some(), "{format}");
    }
}

#[test]
fn a_place_within_the_schema_is_narrowed_where_it_is() {
    let shown = narrowed(
        &json!({"/filter/region": {"const": "EMEA"}, "/items/*/account": {"enum": ["a", "b"]}}),
        &json!({"type": "object", "properties": {
            "filter": {"type": ["object", "null"], "default": null, "description": "Which",
                "properties": {"region": {"type": "string", "enum": ["EMEA", "US"]}}},
            "items": {"type": "array", "items": {"type": "object", "properties": {"account": {"enum": ["b", "c"]}}}}}}),
    );
    assert_eq!(
        shown,
        Some(json!({"type": "object", "required": ["filter", "items"], "properties": {
            "filter": {"type": "object", "description": "Which", "required": ["region"],
                "properties": {"region": {"type": "string", "const": "EMEA"}}},
            "items": {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["account"],
                "properties": {"account": {"enum": ["b"]}}}}}}))
    );
}

#[test]
fn narrowing_keeps_the_header_that_mirrors_an_argument() {
    let schema = json!({"type": "object", "properties": {
        "region": {"$ref": "#/$defs/R", "type": "string", "x-mcp-header": "Region"},
        "filter": {"type": "object", "properties": {"zone": {"type": "string", "x-mcp-header": "Zone"}}}},
        "$defs": {"R": {"type": "string"}}});
    let limits = json!({"region": {"const": "EMEA"}, "/filter/zone": {"pattern": "^b"}});
    let shown = narrowed(&limits, &schema).unwrap();
    let mirrored = |schema: &Value| crate::decode::ParamHeaders::of(&raw(schema));
    assert!(!mirrored(&schema).is_empty());
    assert_eq!(mirrored(&shown), mirrored(&schema), "{shown}");
}

#[test]
fn a_tool_that_no_arguments_fit_is_not_shown() {
    let region = json!({"region": {"const": "EMEA"}});
    let nested = json!({"/filter/region": {"const": "EMEA"}});
    for (limit, schema) in [
        (&region, json!(false)),
        (&region, json!("no schema")),
        (&region, json!({"properties": 7})),
        (&region, json!({"type": "array"})),
        (&region, json!({"properties": {}, "additionalProperties": false})),
        (&region, json!({"properties": {}, "unevaluatedProperties": false})),
        (&region, json!({"properties": {"region": {"enum": ["US"]}}})),
        (&region, json!({"properties": {"region": {"const": "US"}}})),
        (&region, json!({"properties": {"region": false}})),
        (&nested, json!({"properties": {"filter": {"type": "string"}}})),
        (
            &nested,
            json!({"properties": {"filter": {"properties": {"a": {}}, "additionalProperties": false}}}),
        ),
        (&json!({"region": false}), json!({})),
    ] {
        assert_eq!(narrowed(limit, &schema), None, "{schema}");
    }
    let twice = RawValue::from_string(r#"{"properties":{},"properties":{"region":{}}}"#.to_owned()).unwrap();
    assert!(matches!(constraints(&region).narrow(Some(&twice)), Narrowed::Unusable));
    assert!(matches!(constraints(&region).narrow(None), Narrowed::To(_)));
}

/// Schemas that a tool may have for what the limits below speak of.
fn tools() -> Vec<Value> {
    let places = [
        json!(true),
        json!({}),
        json!({"type": "string"}),
        json!({"type": ["string", "object", "array", "null"]}),
        json!({"enum": ["x", "y", {"p": "x"}, [{"p": "x"}], 1]}),
        json!({"const": "y"}),
        json!({"type": "object", "properties": {"p": {"type": "string"}}}),
        json!({"type": "object", "properties": {"p": {"enum": ["x", 1]}, "q": {}}, "additionalProperties": false}),
        json!({"type": "object", "properties": {"q": {}}, "additionalProperties": false}),
        json!({"additionalProperties": {"type": "integer"}}),
        json!({"patternProperties": {"^p": {"type": "string"}}, "additionalProperties": false}),
        json!({"properties": {"q": {}}, "unevaluatedProperties": false}),
        json!({"anyOf": [{"properties": {"p": {"type": "string"}}}, {"type": "array"}], "unevaluatedProperties": false}),
        json!({"$ref": "#/$defs/P"}),
        json!({"$ref": "#/properties/b"}),
        json!({"anyOf": [{"$ref": "#/$defs/P"}, {"type": "null"}], "default": null}),
        json!({"allOf": [{"required": ["q"]}], "minProperties": 2}),
        json!({"if": {"required": ["q"]}, "then": {"properties": {"p": {"const": "y"}}}}),
        json!({"type": "array", "items": {"type": "object", "properties": {"p": {"type": "string"}}}}),
        json!({"type": "array", "items": {"$ref": "#/$defs/P"}, "maxItems": 1}),
        json!({"type": "array", "prefixItems": [{"type": "object"}], "items": false}),
        json!({"prefixItems": [{}], "unevaluatedItems": false}),
        json!({"items": {"$ref": "#"}}),
    ];
    let mut tools =
        vec![json!({}), json!({"additionalProperties": false}), json!({"unevaluatedProperties": false})];
    for place in places {
        for rest in [json!({}), json!({"additionalProperties": false}), json!({"$ref": "#/$defs/A"})] {
            let mut tool = json!({
                "type": "object",
                "properties": {"a": place, "b": {"type": "object", "properties": {"p": {}}}},
                "$defs": {
                    "P": {"type": "object", "properties": {"p": {"type": "string"}}, "additionalProperties": false},
                    "A": {"minProperties": 1}}});
            tool.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            tools.push(tool);
        }
    }
    tools
}

fn limits() -> Vec<Value> {
    vec![
        json!({"a": {"const": "x"}}),
        json!({"a": {"enum": ["x", "y"]}}),
        json!({"a": {"const": 1}}),
        json!({"a": {"type": "object", "properties": {"p": {"const": "x"}}, "additionalProperties": false}}),
        json!({"a": {"$ref": "#/$defs/x", "$defs": {"x": {"enum": ["x", {"p": "x"}]}}}}),
        json!({"a": true}),
        json!({"/a/p": {"const": "x"}}),
        json!({"/a/p": {"pattern": "^x"}, "/a/q": {"type": "integer"}}),
        json!({"/a/p": {"anyOf": [{"const": "x"}, {"type": "integer"}]}}),
        json!({"/a/*/p": {"const": "x"}}),
        json!({"/a/*": {"type": "object"}}),
        json!({"/b/p": {"const": "x"}}),
        json!({"/a/p": {"const": "x"}, "a": {"maxProperties": 1}}),
    ]
}

fn arguments() -> Vec<Value> {
    let values = [
        json!("x"),
        json!("y"),
        json!(1),
        json!(null),
        json!({}),
        json!([]),
        json!({"p": "x"}),
        json!({"p": "y"}),
        json!({"p": 1}),
        json!({"p": "x", "q": 1}),
        json!({"q": 1}),
        json!([{"p": "x"}]),
        json!([{"p": "x"}, {"p": "y"}]),
        json!([{"p": "x"}, {"p": "x"}]),
        json!([{}]),
        json!(["x"]),
        json!([{"a": {"p": "y"}}]),
        json!([{"a": "x", "p": "x"}]),
    ];
    let mut all = vec![json!({}), json!({"b": {"p": "x"}})];
    for value in values {
        all.push(json!({"a": value, "b": {"p": "y"}}));
        all.push(json!({"a": value, "b": {"p": "x"}, "c": 1}));
    }
    all
}

#[test]
fn the_list_shows_exactly_what_both_the_tool_and_policy_take() {
    let arguments: Vec<_> = arguments().into_iter().map(|given| (raw(&given), given)).collect();
    for tool in tools() {
        let own = jsonschema::validator_for(&tool).unwrap();
        for limit in limits() {
            let shown = narrowed(&limit, &tool);
            let shows = shown.as_ref().map(|shown| jsonschema::validator_for(shown).unwrap());
            let held = constraints(&limit);
            for (written, given) in &arguments {
                let takes = own.is_valid(given) && held.hold(Some(written)).is_ok();
                let said = shows.as_ref().is_some_and(|shows| shows.is_valid(given));
                assert_eq!(said, takes, "{given}\nheld to {limit}\nof {tool}\nshown {shown:?}");
            }
        }
    }
}
