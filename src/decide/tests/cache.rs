use crate::decide::contract::{Field, Reads};
use crate::decide::tests::*;
use crate::decide::watch::Watch;

fn reads(rego: &str) -> Vec<Reads> {
    Given::rego(rego).decide().read_set().values.clone()
}

#[test]
fn the_read_set_is_what_the_policy_names_and_everything_below_what_it_cannot_tell() {
    let field = Reads::Field;
    assert_eq!(
        reads(
            "allow if { some r in input.caller.roles; r == input.caller.attributes.role; input[\"method\"] }"
        ),
        [field(Field::Method), field(Field::Roles), Reads::Attribute("role".into())]
    );
    assert_eq!(
        reads("import input.server as s\nallow if { x := \"name\"; s[x] == \"a\" }"),
        [field(Field::ServerName), field(Field::ServerTags)]
    );
    assert_eq!(
        reads("f(o) := o.name\nallow if f(input.prompt) == object.get(input.caller, \"user\", \"\")"),
        [field(Field::User), field(Field::PromptName)]
    );
    assert_eq!(reads("allow if { x := input; x.method }").len(), 39);
}

#[test]
fn callers_who_differ_only_in_what_is_not_read_share_a_verdict() {
    let decide = Given::rego("allow if \"regional-manager\" in input.caller.roles").decide();
    let bob = caller_for_test("acme", "bob", &["regional-manager"]);
    assert!(call(&decide, alice(), "list_a", "{}").is_ok());
    assert!(call(&decide, bob, "list_b", "{\"x\": 1}").is_ok());
    assert_eq!(decide.kept(), 1);
    assert!(call(&decide, caller_for_test("acme", "carol", &["clerk"]), "list_a", "{}").is_err());
    assert_eq!(decide.kept(), 2);
}

#[test]
fn callers_who_differ_in_what_is_read_never_share() {
    let decide = Given::rego("allow if input.caller.attributes.region == \"EMEA\"").decide();
    assert!(call(&decide, alice(), "list_a", "{}").is_ok());
    for region in [Value::from("APAC"), Value::Null, serde_json::json!(["EMEA"]), Value::from("\"EMEA\"")] {
        assert!(call(&decide, alice().with_attribute("region", region), "list_a", "{}").is_err());
    }
    assert!(call(&decide, caller_for_test("acme", "alice", &[]), "list_a", "{}").is_err());
    assert_eq!(decide.kept(), 6);
}

#[test]
fn lists_that_join_to_the_same_text_are_different_keys() {
    let decide =
        Given::rego("allow if \"admin\" in input.caller.groups\nallow if \"admin\" in input.caller.roles")
            .decide();
    assert!(call(&decide, caller_for_test("acme", "a", &["admin"]), "t", "{}").is_ok());
    for roles in [&["a", "dmin"][..], &["admi", "n"], &["adminadmin"], &[]] {
        assert!(call(&decide, caller_for_test("acme", "a", roles), "t", "{}").is_err());
    }
}

#[test]
fn tenants_never_share_even_where_the_policy_does_not_read_them() {
    let decide = Given::rego("allow if true").decide();
    assert!(call(&decide, alice(), "t", "{}").is_ok());
    assert!(call(&decide, caller_for_test("other", "alice", &[]), "t", "{}").is_ok());
    assert_eq!(decide.kept(), 2);
}

#[test]
fn what_reads_time_chance_usage_or_everything_is_not_kept() {
    for rule in [
        "allow if time.now_ns() > 0",
        "allow if input.request.time != \"\"",
        "allow if not input.usage.rate_remaining",
        "allow if not input.caller.authentication.age_seconds > 10",
        "allow if rand.intn(\"x\", 3) >= 0",
        "allow if input.request",
        "allow if count(input) > 0",
    ] {
        let decide = Given::rego(rule).decide();
        assert!(call(&decide, alice(), "t", "{}").is_ok(), "{rule}");
        assert_eq!(decide.kept(), 0, "{rule}");
    }
}

#[test]
fn arguments_that_are_read_are_part_of_the_key_and_long_keys_are_not_kept() {
    let decide = Given::rego("allow if true\ndeny contains \"x\" if input.arguments.a == 1").decide();
    assert!(call(&decide, alice(), "t", "{\"a\": 2}").is_ok());
    assert!(call(&decide, alice(), "t", "{\"a\": 1}").is_err());
    let kept = decide.kept();
    let long = format!("{{\"a\": \"{}\"}}", "x".repeat(5000));
    assert!(call(&decide, alice(), "t", &long).is_ok());
    assert_eq!(decide.kept(), kept);
}

#[test]
fn a_change_of_the_directory_is_told_and_reading_it_is_none() {
    let given = Given::rego("default allow := false");
    let decide = given.decide();
    let (told, changes) = std::sync::mpsc::channel();
    let watch = Watch::start(given.path(), decide.revision().clone(), move || told.send(()).unwrap());
    given.write("data.yaml", "a: 1");
    changes.recv_timeout(Duration::from_secs(20)).expect("the change is told");
    given.decide();
    assert!(changes.recv_timeout(Duration::from_millis(400)).is_err(), "reading is no change");
    drop(watch);
    assert!(changes.recv_timeout(Duration::from_secs(20)).is_err(), "the watch ends");
}

#[test]
fn a_directory_that_goes_away_is_a_change() {
    let given = Given::rego("default allow := false");
    let decide = given.decide();
    let (told, changes) = std::sync::mpsc::channel();
    let _watch = Watch::start(given.path(), decide.revision().clone(), move || told.send(()).unwrap());
    fs::remove_dir_all(given.path()).unwrap();
    changes.recv_timeout(Duration::from_secs(20)).expect("it is told");
}
