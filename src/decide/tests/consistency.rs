use crate::decide::tests::*;

/// Numbers that a seed decides: a test that fails can be run again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }
}

const TOOLS: [&str; 4] = ["list_a", "get_b", "create_c", "delete_d"];

fn condition(dice: &mut Dice) -> String {
    let name = dice.pick(&TOOLS);
    match dice.roll(8) {
        0 => format!("input.tool.name == \"{name}\""),
        1 => format!("input.tool.name != \"{name}\""),
        2 => "\"reader\" in input.caller.roles".to_owned(),
        3 => "not \"admin\" in input.caller.roles".to_owned(),
        4 => "input.caller.attributes.region == \"EMEA\"".to_owned(),
        5 => "input.method == \"tools/call\"".to_owned(),
        6 => format!("startswith(input.tool.name, \"{}\")", dice.pick(&["list", "get", "delete"])),
        _ => "input.caller.tenant == \"acme\"".to_owned(),
    }
}

fn policy(dice: &mut Dice) -> String {
    let mut text = String::from("default allow := false\n");
    for _ in 0..=dice.roll(3) {
        text += &format!("allow if {{ {}; {} }}\n", condition(dice), condition(dice));
    }
    for _ in 0..dice.roll(3) {
        text += &format!("deny contains \"no\" if {{ {}; {} }}\n", condition(dice), condition(dice));
    }
    text
}

fn someone(dice: &mut Dice) -> Caller {
    let roles: Vec<&str> = ["reader", "admin"].into_iter().filter(|_| dice.roll(2) == 0).collect();
    let caller = caller_for_test(dice.pick(&["acme", "other"]), "u", &roles);
    caller.with_attribute("region", Value::from(dice.pick(&["EMEA", "APAC"])))
}

#[test]
fn a_tool_is_in_the_list_exactly_when_it_can_be_called() {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let mut seen = [0, 0];
    for _ in 0..60 {
        let text = policy(&mut dice);
        let decide = Given::rego(&text).decide();
        for _ in 0..20 {
            let (caller, name) = (someone(&mut dice), dice.pick(&TOOLS));
            let shown = sees(&decide, &caller, name);
            let called = call(&decide, caller.clone(), name, "{}");
            assert_eq!(shown, called.is_ok(), "{name} {caller:?}\n{text}");
            seen[usize::from(shown)] += 1;
            if let Err(denied) = called {
                assert_eq!(denied.refusal, Refusal::UnknownTool(ToolName::parse(name).unwrap()));
            }
        }
    }
    assert!(seen.iter().all(|n| *n > 100), "both happen: {seen:?}");
}

#[test]
fn what_differs_between_list_and_call_is_never_callable_unseen() {
    let decide = Given::rego("allow if input.phase == \"call\"").decide();
    assert!(!sees(&decide, &alice(), "list_a"));
    assert_eq!(refusal(call(&decide, alice(), "list_a", "{}")).to_string(), "Unknown tool: list_a");
    let decide = Given::rego("allow if input.arguments.secret == \"open\"").decide();
    assert_eq!(
        refusal(call(&decide, alice(), "list_a", r#"{"secret":"open"}"#)).to_string(),
        "Unknown tool: list_a"
    );
}
