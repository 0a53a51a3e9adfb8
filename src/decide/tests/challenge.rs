//! `challenge` of a denial: who can lift it by authenticating better is told so.

use crate::decide::tests::*;
use crate::refusal::Challenge;

const STEP_UP: &str = r#"
allow if true
deny contains {"message": "payments need a second factor", "challenge": {"acr_values": ["mfa"], "max_age": 300}} if {
	input.phase == "call"
	not input.caller.authentication.acr == "mfa"
}
deny contains {"message": "payments need erp:pay", "challenge": {"scopes": ["erp:pay"]}} if {
	input.phase == "call"
	not "erp:pay" in input.caller.authentication.scopes
}
deny contains "the books are closed" if {
	input.phase == "call"
	input.tool.name == "danger"
}
"#;

fn asked(decide: &Decide, acr: Option<&str>, scopes: &[&str], tool: &str) -> Refusal {
    refusal(call(decide, alice().with_token(acr, scopes), tool, "{}"))
}

#[test]
fn a_token_is_told_everything_that_it_lacks_at_once() {
    let decide = Given::rego(STEP_UP).decide();
    let Refusal::StepUp { challenge, message } = asked(&decide, None, &["mcp"], "list_a") else {
        panic!("it can be lifted")
    };
    assert_eq!(message, "payments need a second factor; payments need erp:pay");
    let (scopes, acr_values) = (vec!["erp:pay".into()], vec!["mfa".into()]);
    assert_eq!(challenge, Challenge { scopes, acr_values, max_age: Some(300) });
    let scopes = vec!["erp:pay".into()];
    assert_eq!(asked(&decide, Some("mfa"), &["mcp"], "list_a"), Refusal::InsufficientScope { scopes });
    let better = alice().with_token(Some("mfa"), &["erp:pay"]);
    assert!(call(&decide, better, "list_a", "{}").is_ok());
}

#[test]
fn where_authenticating_better_would_not_help_nobody_is_sent_to_do_it() {
    let decide = Given::rego(STEP_UP).decide();
    assert!(
        matches!(asked(&decide, None, &["mcp"], "danger"), Refusal::Denied { .. }),
        "another rule denies"
    );
    let with_key = refusal(call(&decide, alice(), "list_a", "{}"));
    assert!(matches!(with_key, Refusal::Denied { .. }), "an API key has no better self: {with_key:?}");
    let nothing_allows =
        Given::rego(&STEP_UP.replace("allow if true", "allow if input.method == \"x\"")).decide();
    assert!(!matches!(asked(&nothing_allows, None, &[], "list_a"), Refusal::StepUp { .. }));
}

#[test]
fn a_challenge_that_means_nothing_is_a_refusal() {
    for challenge in [
        "{}",
        "\"mfa\"",
        "{\"acr\": [\"mfa\"]}",
        "{\"scopes\": [\"two words\"]}",
        "{\"scopes\": \"x\", \"max_age\": -1}",
    ] {
        let given = Given::rego(
            "allow if true\ndeny contains {\"message\": \"no\", \"challenge\": data.how} if input.tool.name == \"list_a\"\n",
        );
        given.write("data.json", &format!("{{\"how\": {challenge}}}"));
        let decide = given.decide();
        let refused = refusal(call(&decide, alice().with_token(None, &[]), "list_a", "{}"));
        assert!(
            !matches!(refused, Refusal::StepUp { .. } | Refusal::InsufficientScope { .. }),
            "{challenge}"
        );
        assert!(!sees(&decide, &alice(), "list_a"), "{challenge}");
    }
}
