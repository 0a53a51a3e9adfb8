use crate::decide::Narrowed;
use crate::decide::tests::*;

const POLICY: &str = "allow if true\n\
    constraints[\"region\"] := {\"const\": input.caller.attributes.region} if input.caller.roles[_] == \"regional-manager\"";

fn narrow(decide: &Decide, schema: &str) -> String {
    let Sight::Shown(verdict) = sight(decide, &alice(), "list_a") else { panic!("hidden") };
    match verdict.narrow(Some(&RawValue::from_string(schema.to_owned()).unwrap())) {
        Narrowed::To(schema) => schema.get().to_owned(),
        other => panic!("{other:?}"),
    }
}

fn constrained(refusal: Refusal) -> (String, String) {
    match refusal {
        Refusal::Constrained { argument, message } => (argument, message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_the_list_shows_is_what_the_call_is_held_to() {
    let decide = Given::rego(POLICY).decide();
    let shown = narrow(
        &decide,
        r#"{"type":"object","$schema":"x","properties":{"status":{"type" : "string"},"region":{"type":"string","description":"Where","enum":["EMEA","APAC"],"x-mcp-header":"Region"}},"required":["status"]}"#,
    );
    assert_eq!(
        shown,
        r#"{"type":"object","$schema":"x","properties":{"status":{"type" : "string"},"region":{"const":"EMEA","description":"Where","type":"string","x-mcp-header":"Region"}},"required":["status","region"]}"#
    );
    assert!(call(&decide, alice(), "list_a", r#"{"region":"EMEA"}"#).is_ok());
    let refused = constrained(refusal(call(&decide, alice(), "list_a", r#"{"region":"APAC"}"#)));
    assert_eq!(refused, ("region".into(), "must be \"EMEA\"".into()));
}

#[test]
fn a_constrained_argument_that_is_absent_or_has_a_twin_is_refused() {
    let decide = Given::rego(POLICY).decide();
    for arguments in ["{}", r#"{"Region":"EMEA"}"#] {
        let (argument, message) = constrained(refusal(call(&decide, alice(), "list_a", arguments)));
        assert_eq!(
            (argument.as_str(), message.as_str()),
            ("region", "it must be given, and must be \"EMEA\"")
        );
    }
    let twin = constrained(refusal(call(&decide, alice(), "list_a", r#"{"region":"EMEA","REGION":"APAC"}"#)));
    assert!(twin.1.contains("`REGION`"));
    assert!(call(&decide, alice(), "list_a", r#"{"r\u0065gion":"EMEA"}"#).is_ok());
}

#[test]
fn a_schema_beyond_a_constant_is_held_to_and_shown_beside_what_is_there() {
    let decide = Given::rego(
        "allow if true\nconstraints[\"amount\"] := {\"type\": \"integer\", \"maximum\": 1000, \"minimum\": 1}\n\
         constraints[\"kind\"] := {\"enum\": [\"a\", \"b\"]}",
    )
    .decide();
    let shown = narrow(&decide, r#"{"properties":{"amount":{"type":"number","maximum":9}}}"#);
    assert_eq!(
        shown,
        r#"{"properties":{"amount":{"allOf":[{"maximum":1000,"type":"integer"}],"maximum":9,"minimum":1,"type":"number"},"kind":{"enum":["a","b"]}},"required":["amount","kind"]}"#
    );
    assert!(call(&decide, alice(), "list_a", r#"{"amount":10,"kind":"a"}"#).is_ok());
    let over = constrained(refusal(call(&decide, alice(), "list_a", r#"{"amount":1001,"kind":"a"}"#)));
    assert_eq!(over, ("amount".into(), "the value is greater than the maximum of 1000".into()));
    let kind = constrained(refusal(call(&decide, alice(), "list_a", r#"{"amount":1,"kind":"c"}"#)));
    assert_eq!(kind.1, "must be one of \"a\", \"b\"");
}

#[test]
fn a_schema_that_leads_out_of_itself_or_is_none_refuses() {
    for schema in [
        r#"{"$ref": "https://example.com/x"}"#,
        r#"{"allOf": [{"$ref": "file:///etc/passwd"}]}"#,
        r#"{"type": "strnig"}"#,
        "7",
        r#"{"format": "no-such-format"}"#,
    ] {
        let given =
            Given::rego("allow if true\nconstraints[\"x\"] := data.schema if input.tool.name == \"list_a\"");
        given.write("data.json", &format!("{{\"schema\": {schema}}}"));
        let decide = given.decide();
        assert_eq!(
            refusal(call(&decide, alice(), "list_a", r#"{"x": 1}"#)),
            Refusal::PolicyFailed,
            "{schema}"
        );
        assert!(!sees(&decide, &alice(), "list_a"));
        assert!(call(&decide, alice(), "list_b", "{}").is_ok());
    }
}

#[test]
fn without_constraints_a_schema_is_left_alone() {
    let decide = Given::rego("allow if true").decide();
    let Sight::Shown(verdict) = sight(&decide, &alice(), "list_a") else { panic!("hidden") };
    assert!(matches!(verdict.narrow(Some(&RawValue::from_string("{}".into()).unwrap())), Narrowed::AsIs));
}

#[test]
fn a_condition_or_a_mask_that_means_nothing_is_found_when_the_policy_is_loaded() {
    let given = Given::new(&[]);
    let stock = concat!(env!("CARGO_MANIFEST_DIR"), "/policies");
    for name in ["authz", "deny", "grants", "index", "limits", "methods", "scope"] {
        let file = format!("{name}.rego");
        given.write(&file, &std::fs::read_to_string(format!("{stock}/{file}")).unwrap());
    }
    let with = |grant: &str| {
        given.write(
            "tenants/acme/data.yaml",
            &format!("roles:\n  r:\n    - servers: [netsuite]\n      {grant}\n"),
        );
    };
    with("when: {\"/a/*/b\": caller.region, c.d: {format: date}}\n      redact: [/a~1b, \"\"]");
    given.decide();
    for (grant, why) in [
        ("when: {a: {format: no-such}}", "Unknown format: 'no-such'"),
        ("when: {a: {type: strnig}}", "is not a JSON Schema"),
        ("when: {/a~2: x}", "is no JSON Pointer"),
        ("when: {\"/*/a\": x}", "must begin with the name of an argument"),
        ("redact: [margin]", "`margin` is no JSON Pointer"),
        ("redact: [/a~b]", "`/a~b` is no JSON Pointer"),
    ] {
        with(grant);
        let problems = given.problems();
        assert!(problems.starts_with("tenants/acme/data.yaml:4:") && problems.contains(why), "{problems}");
    }
}
