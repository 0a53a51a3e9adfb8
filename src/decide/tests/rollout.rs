use crate::config::Canary;
use crate::decide::tests::*;
use crate::decide::{Candidacy, Change, Compared, Comparison, Opinion, Rollout, Seat, Stage, Word};
use crate::name::TenantId;

const LIVE: &str = "allow if input.tool.name in {\"list_a\", \"list_b\"}\nrules contains \"live\" if allow\n";

/// A rule that takes longer than any decision may, for some tools.
const SLOW: &str = "allow if {\n\tstartswith(input.tool.name, \"slow\")\n\tcount([x | some x in numbers.range(1, 4000); some y in numbers.range(1, 4000); x < y]) > 0\n}\n";

fn rollout(candidate: &str, stage: Stage) -> Rollout {
    let load = |text: &str| {
        let given = Given { timeout: Duration::from_millis(50), ..Given::rego(text) };
        Arc::new(given.decide())
    };
    Rollout::new(load(LIVE), None, Some(Arc::new(Candidacy::new(load(candidate), stage))))
}

fn canary(tenant: &str) -> Stage {
    Stage::Canary(Canary { tenants: [TenantId::parse(tenant).unwrap()].into(), ..Canary::default() })
}

fn judged(rollout: &Rollout, name: &str, arguments: &str) -> Result<Permit, Box<Denied>> {
    let arguments = Some(RawValue::from_string(arguments.to_owned()).unwrap());
    let call = ToolCall { name: ToolName::parse(name).unwrap(), arguments, task: false };
    let message = message("tools/call", Action::CallTool(call));
    let caller = alice();
    let panel = rollout.panel(caller.tenant());
    panel.permit(Arc::new(caller), server(), tool(name), message, &circumstances())
}

fn comparison(judged: &Result<Permit, Box<Denied>>) -> &Comparison {
    let comparison = match judged {
        Ok(permit) => permit.comparison(),
        Err(denied) => denied.comparison.as_ref(),
    };
    comparison.expect("it was compared")
}

fn difference(judged: &Result<Permit, Box<Denied>>) -> (Vec<Change>, &Opinion) {
    match &comparison(judged).compared {
        Compared::Differs(difference) => (difference.changes.clone(), &difference.other),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_policy_that_serves_decides_and_the_candidate_is_heard() {
    let text = "allow if input.tool.name in {\"list_a\", \"list_c\"}\nrules contains \"tried\" if allow";
    let rollout = rollout(text, Stage::Shadow);
    assert!(matches!(comparison(&judged(&rollout, "list_a", "{}")).compared, Compared::Same));
    let refused = judged(&rollout, "list_c", "{}");
    let (changes, other) = difference(&refused);
    assert_eq!((changes, other.decision), (vec![Change::NewlyAllowed], Word::Allowed));
    assert_eq!(other.rules, [std::sync::Arc::<str>::from("tried")]);
    assert!(refused.is_err(), "the candidate has decided");
    let allowed = judged(&rollout, "list_b", "{}");
    assert!(allowed.is_ok(), "the candidate has decided");
    assert_eq!(difference(&allowed).0, [Change::NewlyRefused]);
    assert_eq!(difference(&allowed).1.decision, Word::Hidden);
}

#[test]
fn constraints_and_masks_are_compared_and_so_are_the_arguments_at_hand() {
    let text = "allow if input.tool.name in {\"list_a\", \"list_b\"}\nredact contains \"/margin\"\nconstraints := {\"region\": {\"const\": \"EMEA\"}}";
    let rollout = rollout(text, Stage::Shadow);
    let fits = judged(&rollout, "list_a", r#"{"region": "EMEA"}"#);
    assert_eq!(difference(&fits).0, [Change::Constraints, Change::Redaction]);
    let outside = judged(&rollout, "list_a", r#"{"region": "secret-4711"}"#);
    assert!(outside.is_ok());
    let (changes, other) = difference(&outside);
    assert_eq!(changes, [Change::NewlyRefused]);
    assert_eq!(other.argument.as_deref(), Some("region"));
    assert!(!serde_json::to_string(other).unwrap().contains("4711"), "an argument's value is kept");
}

#[test]
fn a_list_and_its_calls_are_decided_by_the_same_policy() {
    for (stage, seen) in [(Stage::Shadow, false), (canary("globex"), false), (canary("acme"), true)] {
        let rollout = rollout("allow if input.tool.name == \"list_c\"", stage.clone());
        let (subject, server, circumstances, caller) = (tool("list_c"), server(), circumstances(), alice());
        let question = Question {
            caller: &caller,
            server: &server,
            method: "tools/call",
            subject: &subject,
            arguments: None,
            circumstances: &circumstances,
        };
        let (sight, listed) = rollout.panel(caller.tenant()).look(&question);
        assert_eq!(matches!(sight, Sight::Shown(_)), seen, "{stage:?}");
        let call = judged(&rollout, "list_c", "{}");
        assert_eq!(call.is_ok(), seen, "{stage:?}");
        let seat = if seen { Seat::Candidate } else { Seat::Live };
        assert_eq!((listed.unwrap().decided_by, comparison(&call).decided_by), (seat, seat));
        assert_eq!(difference(&call).0, [Change::NewlyAllowed], "said of the candidate, whoever decides");
    }
}

#[test]
fn a_candidate_that_fails_is_told_and_changes_nothing() {
    let text = "allow if {\n\tinput.tool.name == \"list_a\"\n\tfoo(input.tool.name) == 1\n}\nfoo(_) := 1\nfoo(x) := 2 if startswith(x, \"list\")";
    let allowed = judged(&rollout(text, Stage::Shadow), "list_a", "{}");
    assert!(allowed.is_ok());
    assert_eq!(difference(&allowed).0, [Change::Failed]);
}

#[test]
fn a_candidate_that_is_late_again_and_again_is_not_asked_any_more() {
    let rollout = rollout(SLOW, Stage::Shadow);
    let begun = std::time::Instant::now();
    for n in 0..200 {
        assert!(judged(&rollout, &format!("slow_{n}"), "{}").is_err());
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "200 calls took {:?}", begun.elapsed());
    assert!(rollout.candidacy().unwrap().is_suspended());
    assert!(matches!(comparison(&judged(&rollout, "list_a", "{}")).compared, Compared::LeftOut));
}

#[test]
fn a_candidate_that_is_what_serves_is_not_compared() {
    let rollout = rollout(LIVE, canary("acme"));
    assert!(rollout.candidacy().is_none());
    assert!(judged(&rollout, "list_a", "{}").unwrap().comparison().is_none());
}

#[test]
fn constraints_are_no_difference_where_no_arguments_are_held_to_them() {
    let text = "allow if true\nconstraints := {\"region\": {\"const\": \"EMEA\"}}";
    let rollout = rollout(text, Stage::Shadow);
    let (caller, list) = (alice(), Action::List(crate::decode::ListKind::Tools));
    let panel = rollout.panel(caller.tenant());
    let listed = panel.permit(
        Arc::new(caller),
        server(),
        tool("list_a"),
        message("tools/call", list),
        &circumstances(),
    );
    assert!(matches!(comparison(&listed).compared, Compared::Same));
}
