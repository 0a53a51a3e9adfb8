use crate::decide::tests::*;

#[test]
fn a_directory_without_a_policy_is_refused() {
    assert!(Given::new(&[]).problems().contains("there is no policy here; put a `.rego` file"));
    let gone = Policy { directory: "/nowhere/at/all".into(), timeout: Duration::from_secs(1), cache: 1 };
    assert!(lines(&Decide::load(&gone).unwrap_err()).starts_with("/nowhere/at/all:1:1: it cannot be read"));
}

#[test]
fn a_misspelt_input_path_is_refused_with_its_place_and_the_nearest() {
    let problems = Given::rego(
        "allow if input.callr.tenant == \"acme\"\ndeny contains \"no\" if input.caller.attribute.region == \"X\"\n\
         rules contains \"x\" if input[\"tool\"].nme == \"x\"",
    )
    .problems();
    assert_eq!(
        problems,
        "authz.rego:3:16: `input.callr` is not in the input that the gate gives; the nearest is `input.caller`\n\
         authz.rego:4:36: `input.caller.attribute` is not in the input that the gate gives; the nearest is `input.caller.attributes`\n\
         authz.rego:5:37: `input.tool.nme` is not in the input that the gate gives; the nearest is `input.tool.name`"
    );
}

#[test]
fn a_misspelt_path_does_not_hide_behind_an_import_an_alias_or_a_getter() {
    let problems = Given::rego(
        "import input.caller as who\nimport input.tol\nallow if who.usr == \"alice\"\n\
         deny contains \"a\" if { c := input.caller; c.tennant == \"x\" }\n\
         deny contains \"b\" if object.get(input, [\"caller\", \"rolez\"], []) == []\n\
         deny contains \"c\" if input.user == \"mallory\"\n\
         deny contains \"d\" if input.caller.roles.admin",
    )
    .problems();
    let each: Vec<&str> = problems.lines().collect();
    assert_eq!(each.len(), 6, "{problems}");
    assert!(each[0].contains("4:14: `input.tol`") && each[0].contains("`input.tool`"));
    assert!(each[1].contains("5:14: `input.caller.usr`") && each[1].contains("`input.caller.user`"));
    assert!(each[2].contains("`input.caller.tennant`"));
    assert!(each[3].contains("`input.caller.rolez`"));
    assert!(each[4].contains("`input.user`") && each[4].contains("the nearest is `input.caller.user`"));
    assert!(each[5].contains("`input.caller.roles` is a list"));
}

#[test]
fn a_function_that_does_not_exist_is_refused() {
    let problems = Given::rego(
        "allow if startswth(input.method, \"tools/\")\ndeny contains \"x\" if http.send({}).ok\n\
         f(x) := x\nrules contains \"y\" if f(1, 2, 3)\nrules contains \"z\" if crypto.sha256(\"\") == \"\"",
    )
    .problems();
    let each: Vec<&str> = problems.lines().collect();
    assert_eq!(each[0], "authz.rego:3:10: there is no function `startswth`; the nearest is `startswith`");
    assert!(each[1].starts_with("authz.rego:4:22: `http.send` does not exist here"), "{problems}");
    assert_eq!(each[2], "authz.rego:6:23: `f` is given 3 arguments; it takes 1");
    assert!(each[3].contains("there is no function `crypto.sha256`"));
}

#[test]
fn a_function_that_could_outrun_the_time_limit_is_refused() {
    let problems = Given::rego("allow if count(numbers.range(1, input.arguments.n)) > 0").problems();
    assert!(problems.contains("`numbers.range` could run past the time limit"), "{problems}");
    let problems = Given::rego("allow if count(graph.reachable_paths(data.graph, {\"a\"})) > 0").problems();
    assert!(problems.contains("`graph.reachable_paths` could run past the time limit"), "{problems}");
}

#[test]
fn every_builtin_in_the_list_is_one_of_the_engines() {
    for name in crate::decide::builtin::NAMES.iter().filter(|name| **name != "print") {
        let mut engine = regorus::Engine::new();
        engine.add_policy("x.rego".into(), format!("package x\nx := {name}(1, 2, 3, 4, 5, 6, 7)")).unwrap();
        let error = engine.eval_rule("data.x.x".into()).map_err(|e| e.to_string()).unwrap_err();
        assert!(!error.contains("could not find"), "{name}: {error}");
    }
}

#[test]
fn every_builtin_is_called_with_as_many_arguments_as_the_engine_wants() {
    for name in crate::decide::builtin::NAMES.iter().filter(|name| **name != "print") {
        let takes = crate::decide::builtin::takes(name).unwrap();
        let ask = |count: usize| {
            let mut engine = regorus::Engine::new();
            let given = vec!["null"; count].join(", ");
            engine.add_policy("x.rego".into(), format!("package x\nx := {name}({given})")).unwrap();
            engine.eval_rule("data.x.x".into()).map_err(|e| e.to_string()).err().unwrap_or_default()
        };
        let wants = |error: &str| error.contains(&format!("expects {takes} argument"));
        assert!(!ask(takes).contains("expects ") || !wants(&ask(takes)), "{name}: {}", ask(takes));
        assert!(wants(&ask(takes + 3)), "{name}: {}", ask(takes + 3));
    }
    let problems = Given::rego("allow if split(input.tool.name) == [\"a\"]").problems();
    assert_eq!(problems, "authz.rego:3:10: `split` is given 1 arguments; it takes 2");
}

#[test]
fn a_package_that_answers_nothing_is_refused() {
    let other = Given::new(&[("a.rego", "package acme.authz\nallow if input.method == \"ping\"")]);
    assert!(other.problems().contains("there is no package `mcp.authz`"));
    assert!(Given::rego("helper := 1").problems().contains("defines nothing that the gate reads"));
}

#[test]
fn a_key_of_the_wrong_kind_or_nearly_a_key_is_refused() {
    let problems = Given::rego(
        "deny if input.method == \"ping\"\nallow contains \"x\"\ncost := \"much\"\nconstraints contains \"x\"\n\
         denny contains \"x\" if input.method == \"ping\"",
    )
    .problems();
    let each: Vec<&str> = problems.lines().collect();
    assert_eq!(
        each[0],
        "authz.rego:3:1: `deny` must be a set, and this rule makes something else; write `deny contains \"…\" if { … }`"
    );
    assert!(each[1].contains("4:1: `allow` must be true or false"));
    assert!(each[2].contains("5:1: `cost` must be a number"));
    assert!(each[3].contains("6:1: `constraints` must be an object"));
    assert_eq!(
        each[4],
        "authz.rego:7:1: nothing reads `denny`; the nearest key that the gate reads is `deny`"
    );
}

#[test]
fn every_mistake_of_every_file_is_told_at_once() {
    let given = Given::new(&[
        ("a.rego", "package mcp.authz\nallow if {\n  input.method ==\n}"),
        ("b.rego", "package b\nx := input.nothing"),
        ("c/data.yaml", "a: 1\na: 2\n"),
        ("d/data.json", "{\"a\": 1, \"a\": 2}"),
        ("e/data.yaml", "enabled: yes\n"),
        ("f/dat.yaml", "a: 1"),
    ]);
    let problems = given.problems();
    for expected in [
        "a.rego:4:1: expecting expression",
        "b.rego:2:12: `input.nothing`",
        "c/data.yaml:2:1: not YAML: duplicated key",
        "d/data.json:1:12: not JSON: duplicate key `a`",
        "e/data.yaml:1:10: `yes` is a text in YAML 1.2 and a boolean in YAML 1.1; write true or false",
        "f/dat.yaml:1:1: `dat.yaml` is not loaded; call it `data.yaml`",
    ] {
        assert!(problems.contains(expected), "{expected}\n in \n{problems}");
    }
}

#[test]
fn data_is_placed_by_its_folder_as_opa_places_it() {
    let decide = Given::new(&[
        (
            "authz.rego",
            "package mcp.authz\nallow if data.tenants[input.caller.tenant].open.tools[_] == input.tool.name",
        ),
        ("tenants/acme/data.yaml", "open:\n  tools: [list_a]\n"),
        ("tenants/other/data.json", "{\"open\": {\"tools\": [\"list_b\"]}}"),
        ("data.yaml", "unrelated: 'no'\n"),
        (".git/data.yaml", "tenants: {acme: {open: {tools: [list_b]}}}"),
        ("..data/data.yaml", "tenants: 7"),
    ])
    .decide();
    assert!(sees(&decide, &alice(), "list_a"));
    assert!(!sees(&decide, &alice(), "list_b"));
    assert!(sees(&decide, &caller_for_test("other", "bob", &[]), "list_b"));
}

#[test]
fn rules_find_the_data_however_they_name_them() {
    for rule in [
        "allow if data.flags[input.tool.name].open",
        "allow if data[place][input.tool.name].open\nplace := \"flags\"",
        "import data.flags as known\nallow if known[input.tool.name].open",
        "allow if { all := data; all.flags[input.tool.name].open }",
        "allow if object.get(data, [\"flags\", input.tool.name, \"open\"], false)",
        "allow if { walk(data, [path, true]); path == [\"flags\", input.tool.name, \"open\"] }",
        "allow if { some name, flag in data.flags; name == input.tool.name; flag.open }",
        "allow if { every flag in [data.flags[input.tool.name]] { flag.open } }",
        "allow if of(data.flags)\nof(flags) if flags[input.tool.name].open",
        "allow if data.lib.open[input.tool.name]",
        "allow if shown[input.tool.name]\nshown[name] := open if { some name in [\"list_a\", \"list_b\"]; open := data.flags[name].open }",
        "allow if at[data.flags.list_a.open][input.tool.name]\nat[true] := {\"list_a\": true}",
        "allow if by[input.tool.name]\nby[data.names.first] := true",
        "allow if kept.flags[input.tool.name].open\nkept := {\"flags\": data.flags}",
        "allow if found == true\nfound := false if { input.tool.name == \"list_b\" } else := data.flags.list_a.open",
        "allow if input.tool.name in {name | data.flags[name].open}",
        "allow if not closed\nclosed if not data.flags[input.tool.name].open",
        "allow if { flag := data[\"flags\"][input.tool.name]; flag[\"open\"] }",
        "allow if count([1 | data.flags[input.tool.name].open]) + data.none == 1",
        "allow if { input.tool.name == data.names[data.first] }",
        "allow if { x := data.flags with input.method as \"y\"; x[input.tool.name].open }",
        "import data as everything\nallow if everything.flags[input.tool.name].open",
    ] {
        let given = Given::rego(rule);
        given.write("data.yaml", "unread: [1]\nnone: 0\nfirst: first\nnames: {first: list_a}\nflags: {list_a: {open: true}, list_b: {}}\n");
        given.write("lib.rego", "package lib\nopen contains name if data.flags[name].open");
        let decide = given.decide();
        assert!(sees(&decide, &alice(), "list_a"), "{rule}");
        assert!(!sees(&decide, &alice(), "list_b"), "{rule}");
    }
}

#[test]
fn data_that_conflicts_is_refused_in_the_file_that_comes_second() {
    let given = Given::new(&[
        ("authz.rego", "package mcp.authz\ndefault allow := false"),
        ("data.yaml", "tenants:\n  acme:\n    limit: 1\n"),
        ("tenants/acme/data.yaml", "other: 2\nlimit: 1\n"),
        ("mcp/authz/data.yaml", "x: 1\nallow: true\n"),
    ]);
    assert_eq!(
        given.problems(),
        "tenants/acme/data.yaml:2:1: `data.tenants.acme.limit` has a value from another file already; keep one of the two"
    );
    given.write("tenants/acme/data.yaml", "other: 2\n");
    assert!(
        given
            .problems()
            .contains("authz.rego:2:9: `data.mcp.authz.allow` is a rule here and a value in a data file")
    );
}

#[test]
fn a_test_that_fails_stops_the_load_with_its_place() {
    let given = Given::rego("default allow := false\nallow if input.caller.tenant == \"acme\"");
    given.write(
        "authz_test.rego",
        "package mcp.authz_test\n\nimport data.mcp.authz\n\n\
         test_acme_passes if authz.allow with input as {\"caller\": {\"tenant\": \"acme\"}}\n\
         test_others_pass if authz.allow with input as {\"caller\": {\"tenant\": \"x\"}}\n",
    );
    assert_eq!(given.problems(), "authz_test.rego:6:1: test `test_others_pass` fails");
    given.write(
        "authz_test.rego",
        "package t\ntest_it if data.mcp.authz.allow with input.caller.tenant as \"acme\"\n",
    );
    given.decide();
}

#[test]
fn rules_that_conflict_are_found_at_load() {
    let given = Given::rego("default allow := false\ncost := 1\ncost := 2");
    assert_eq!(given.problems(), "authz.rego:5:1: rule conflicts with rule at authz.rego:4:1");
    let given = Given::rego("default allow := false\ncost := 1 if input.method\ncost := 2 if input.phase");
    assert!(given.problems().starts_with("authz.rego:5:"), "{}", given.problems());
}

#[test]
fn a_rule_that_no_file_defines_is_refused() {
    let given = Given::new(&[
        (
            "authz.rego",
            "package mcp.authz\nimport data.lib\nallow if lib.opne\ndeny contains \"x\" if data.lib.closed",
        ),
        ("lib.rego", "package lib\nopen if input.method == \"ping\""),
    ]);
    let problems = given.problems();
    assert!(problems.contains(
        "authz.rego:3:14: no rule and no data file defines `data.lib.opne`; the nearest is `data.lib.open`"
    ));
    assert!(problems.contains("`data.lib.closed`"));
}

#[test]
fn the_revision_is_of_every_file_and_nothing_else() {
    let given = Given::rego("default allow := false");
    let first = given.decide().revision().clone();
    assert_eq!(*given.decide().revision(), first);
    given.write("README.md", "hello");
    assert_eq!(*given.decide().revision(), first);
    given.write("data.yaml", "a: 1");
    let second = given.decide().revision().clone();
    assert_ne!(second, first);
    given.write("data.yaml", "a: 2");
    assert_ne!(*given.decide().revision(), second);
    assert!(first.as_str().len() >= 16);
}

#[test]
fn rates_are_read_from_the_tenants_data_and_mistakes_in_them_are_told() {
    let given = Given::rego("default allow := false");
    given.write(
        "tenants/acme/data.yaml",
        "rates:\n  tenant: {requests: 600, per: 1m, burst: 60}\n  tools:\n    \"z_*\": {requests: 10, per: 1h}\n    \"*\": {requests: 20, per: 1s}\n",
    );
    let decide = given.decide();
    let rates = decide.rates().find(|(tenant, _)| tenant.as_str() == "acme").unwrap().1;
    assert_eq!(rates.tenant.unwrap().burst.get(), 60);
    assert_eq!(rates.tools.iter().map(|(glob, _)| glob.as_str()).collect::<Vec<_>>(), ["z_*", "*"]);
    assert_eq!(rates.tools[0].1.burst.get(), 10);
    given.write("tenants/acme/data.yaml", "budget: {per_month: 500}\n");
    let decide = given.decide();
    assert_eq!(decide.rates().next().unwrap().1.budget.map(u32::from), Some(500));
    given.write("tenants/acme/data.yaml", "budget: {per_month: 0.5}\n");
    assert_eq!(
        given.problems(),
        "tenants/acme/data.yaml:1:10: `per_month` is not a whole number from 1; write e.g. `{per_month: 10000}`"
    );
    given.write(
        "tenants/acme/data.yaml",
        "rates:\n  tenat: {requests: 1, per: 1s}\n  user: {requests: 0, per: soon}\n",
    );
    assert_eq!(
        given.problems(),
        "tenants/acme/data.yaml:2:3: there is no key `tenat` here; the nearest is `tenant`\n\
         tenants/acme/data.yaml:3:10: `requests` is not a whole number from 1; write e.g. `{requests: 600, per: 1m, burst: 60}`\n\
         tenants/acme/data.yaml:3:23: `per` is not a time; write e.g. `1s`, `1m` or `1h`"
    );
}
