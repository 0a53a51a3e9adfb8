//! What `check` doubts.

use super::*;
use crate::decide::Servers;

impl Given {
    /// What its author should look at again, without the directory's own path.
    fn doubts(&self) -> String {
        let servers = Servers::from([(server().name.clone(), server())]);
        let text = lines(&Decide::lint(self.path(), Some(&servers)));
        text.replace(&format!("{}/", self.path().display()), "")
    }
}

#[test]
fn an_allow_that_rests_on_arguments_is_told_of_constraints() {
    let doubts = Given::rego("allow if cheap\n\ncheap if input.arguments.limit < 50").doubts();
    assert!(doubts.starts_with("authz.rego:5:10: `allow` rests on `input.arguments`"), "{doubts}");
    assert!(doubts.contains("`constraints`"), "{doubts}");
    let held = Given::rego("allow if true\n\nconstraints[\"limit\"] := {\"maximum\": 50}").doubts();
    assert_eq!(held, "");
}

#[test]
fn a_role_that_leads_nowhere_is_told_with_its_place() {
    let data = "roles:\n  clerk:\n    - {servers: [netsuit, 'tag:crm', '*', 'tag:erp'], tags: [invoices]}\n";
    let doubts = Given::new(&[
        ("a.rego", "package mcp.authz\n\nallow if input.method == \"ping\"\n"),
        ("tenants/acme/data.yaml", data),
    ])
    .doubts();
    let each: Vec<&str> = doubts.lines().collect();
    assert_eq!(each.len(), 3, "{doubts}");
    assert!(each[0].starts_with("tenants/acme/data.yaml:3:18: role `clerk` names `netsuit`"), "{}", each[0]);
    assert!(each[0].ends_with("the nearest is `netsuite`"), "{}", each[0]);
    assert!(each[1].contains("`tag:crm`") && each[2].contains("`invoices`"), "{doubts}");
}

#[test]
fn two_values_for_one_question_are_doubted_unless_the_bodies_exclude_each_other() {
    let doubts = Given::rego(
        "allow if true\n\ncost := 1 if input.tool.class == \"read\"\n\ncost := 2 if input.tool.class == \"write\"\n\n\
         cost := 5 if input.method == \"tools/call\"",
    )
    .doubts();
    assert_eq!(doubts.lines().count(), 2, "{doubts}");
    assert!(
        doubts.lines().all(|line| line.starts_with("authz.rego:9:1: `cost` may have two values")),
        "{doubts}"
    );
    let same = Given::rego("allow if true\n\ncost := 1 if input.tool\n\ncost := 2 if input.tool").doubts();
    assert!(same.contains("`cost` has two values"), "{same}");
}

#[test]
fn a_scan_of_grants_for_every_question_is_doubted_and_the_stock_index_is_not() {
    let scan = "allow if {\n\tsome grant in data.tenants[input.caller.tenant].roles[\"clerk\"]\n\tgrant.tool == input.tool.name\n}";
    let doubts = Given::rego(scan).doubts();
    assert!(doubts.starts_with("authz.rego:4:19: `allow` goes through grants one by one"), "{doubts}");
    let stock = Decide::lint(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/policies")), None);
    assert_eq!(lines(&stock), "");
}
