# METADATA
# title: What the stock policies promise
package mcp.authz_test

import data.mcp.authz

acme := {"acme": {
	"roles": {
		"regional-manager": [{
			"servers": ["netsuite"],
			"tools": ["list_*", "get_invoice"],
			"methods": ["read"],
			"when": {"region": "caller.region"},
			"redact": ["/rows/*/margin"],
		}],
		"finance": [{"servers": ["tag:erp"], "tags": ["invoices"], "methods": ["read", "approve"]}],
		"developer": [{"servers": ["*"]}],
		"reader": [{"servers": ["netsuite"], "resources": ["file:///pub/*", "memo://one"], "prompts": ["hello*"]}],
		"scoped-url": [{"servers": ["netsuite"], "methods": ["read"]}],
		"typo": [{"servers": ["netsuite"], "tool": ["list_*"]}],
		"hollow": [{"servers": ["netsuite"], "tools": []}, {"servers": ["netsuite"], "when": []}, {"servers": ["netsuite"], "redact": "/x"}],
		"branch": [{"servers": ["netsuite"], "tools": ["list_*"], "when": {"region": "US"}}],
		"deep": [{"servers": ["netsuite"], "when": {"/filter/region": "caller.region", "/items/*/account": ["a1", "a2"]}}],
		"owner": [{"servers": ["netsuite"], "tools": ["list_*"], "when": {"owner": "caller.user", "status": ["open", "paid"], "limit": {"maximum": 50}}}],
	},
	"deny": [
		{"tools": ["*_delete_*"], "message": "deletions go through the service desk", "code": "no_deletion", "unless_roles": ["administrator"]},
		{"roles": ["suspended"], "message": "the account is suspended"},
	],
}}

caller(roles) := {
	"tenant": "acme", "user": "alice", "agent": "desk", "roles": roles, "groups": [],
	"attributes": {"region": "EMEA"}, "authentication": {"kind": "jwt"},
}

netsuite := {"name": "netsuite", "tags": ["erp", "finance"]}

tool(name, operation, class, tags) := {"name": name, "operation": operation, "class": class, "tags": tags, "pinned": true}

list_invoices := tool("list_all_netsuite_invoices", "list", "read", ["invoices"])

approve := tool("approve_invoice", "approve", "custom", ["invoices"])

ask(roles, t) := {"phase": "call", "method": "tools/call", "caller": caller(roles), "server": netsuite, "tool": t}

with_scope(question, scope) := object.union(question, {"scope": scope})

of_server(roles, method) := {"phase": "call", "method": method, "caller": caller(roles), "server": netsuite}

read(roles, uri) := {"phase": "call", "method": "resources/read", "caller": caller(roles), "server": netsuite, "resource": {"uri": uri}}

prompt(roles, name) := {"phase": "call", "method": "prompts/get", "caller": caller(roles), "server": netsuite, "prompt": {"name": name}}

test_a_role_opens_its_tools_and_names_the_grant if {
	authz.allow with input as ask(["regional-manager"], list_invoices) with data.tenants as acme
	authz.rules == {"acme/regional-manager/0"} with input as ask(["regional-manager"], list_invoices) with data.tenants as acme
}

test_without_a_role_nothing_is_open if {
	not authz.allow with input as ask([], list_invoices) with data.tenants as acme
	not authz.allow with input as ask(["nobody"], list_invoices) with data.tenants as acme
	not authz.allow with input as of_server(["nobody"], "ping") with data.tenants as acme
}

test_an_unknown_tenant_has_no_roles if {
	question := object.union(ask(["developer"], list_invoices), {"caller": object.union(caller(["developer"]), {"tenant": "other"})})
	not authz.allow with input as question with data.tenants as acme
}

test_without_any_data_nothing_is_open if {
	not authz.allow with input as ask(["developer"], list_invoices) with data.tenants as {}
}

test_a_tool_outside_the_patterns_is_closed if {
	not authz.allow with input as ask(["regional-manager"], tool("run_suiteql", "run", "custom", [])) with data.tenants as acme
	not authz.allow with input as ask(["regional-manager"], tool("get_invoices", "get", "read", [])) with data.tenants as acme
}

test_read_admits_neither_write_nor_custom if {
	not authz.allow with input as ask(["regional-manager"], tool("list_and_pay", "pay", "custom", [])) with data.tenants as acme
	not authz.allow with input as ask(["regional-manager"], tool("list_reset", "update", "write", [])) with data.tenants as acme
}

test_a_method_may_be_the_vendors_own_verb if {
	authz.allow with input as ask(["finance"], approve) with data.tenants as acme
}

test_tags_of_tools_and_servers if {
	authz.allow with input as ask(["finance"], list_invoices) with data.tenants as acme
	not authz.allow with input as ask(["finance"], tool("list_vendors", "list", "read", ["vendors"])) with data.tenants as acme
	not authz.allow with input as ask(["finance"], tool("list_vendors", "list", "read", [])) with data.tenants as acme
	elsewhere := object.union(ask(["finance"], list_invoices), {"server": {"name": "crm", "tags": ["sales"]}})
	not authz.allow with input as elsewhere with data.tenants as acme
}

test_a_star_opens_every_server_and_tool if {
	authz.allow with input as ask(["developer"], tool("anything", "anything", "custom", [])) with data.tenants as acme
}

test_another_server_is_closed if {
	elsewhere := object.union(ask(["regional-manager"], list_invoices), {"server": {"name": "sap", "tags": ["erp"]}})
	not authz.allow with input as elsewhere with data.tenants as acme
}

test_list_and_call_agree if {
	shown := object.union(ask(["regional-manager"], list_invoices), {"phase": "list", "method": "tools/list"})
	authz.allow with input as shown with data.tenants as acme
	hidden := object.union(ask(["regional-manager"], approve), {"phase": "list", "method": "tools/list"})
	not authz.allow with input as hidden with data.tenants as acme
}

test_a_condition_becomes_a_constraint if {
	authz.constraints == {"region": {"const": "EMEA"}} with input as ask(["regional-manager"], list_invoices) with data.tenants as acme
}

test_a_condition_on_a_missing_attribute_closes_the_grant if {
	stranger := {
		"phase": "call", "method": "tools/call", "server": netsuite, "tool": list_invoices,
		"caller": {"tenant": "acme", "user": "alice", "roles": ["regional-manager"], "authentication": {"kind": "jwt"}},
	}
	not authz.allow with input as stranger with data.tenants as acme
}

test_an_attribute_with_several_values_is_a_choice if {
	many := object.union(ask(["regional-manager"], list_invoices), {"caller": {"attributes": {"region": ["EMEA", "US"]}}})
	authz.constraints == {"region": {"enum": ["EMEA", "US"]}} with input as many with data.tenants as acme
}

test_conditions_of_every_form if {
	authz.constraints == {
		"owner": {"const": "alice"},
		"status": {"enum": ["open", "paid"]},
		"limit": {"maximum": 50},
	} with input as ask(["owner"], list_invoices) with data.tenants as acme
}

test_a_condition_may_stand_within_an_argument if {
	authz.constraints == {
		"/filter/region": {"const": "EMEA"},
		"/items/*/account": {"enum": ["a1", "a2"]},
	} with input as ask(["deep"], list_invoices) with data.tenants as acme
}

test_two_conditions_on_one_argument_are_a_choice if {
	either := {"anyOf": [{"const": "EMEA"}, {"const": "US"}]}
	authz.constraints == {"region": either} with input as ask(["regional-manager", "branch"], list_invoices) with data.tenants as acme
}

test_conditions_on_different_arguments_all_hold if {
	object.keys(authz.constraints) == {"region", "owner", "status", "limit"} with input as ask(["branch", "owner"], list_invoices) with data.tenants as acme
}

test_one_grant_without_limits_lifts_the_others if {
	authz.constraints == {} with input as ask(["regional-manager", "developer"], list_invoices) with data.tenants as acme
	authz.redact == set() with input as ask(["regional-manager", "developer"], list_invoices) with data.tenants as acme
	count(authz.rules) == 2 with input as ask(["regional-manager", "developer"], list_invoices) with data.tenants as acme
}

test_masks_are_told if {
	authz.redact == {"/rows/*/margin"} with input as ask(["regional-manager"], list_invoices) with data.tenants as acme
}

test_a_misspelt_grant_grants_nothing if {
	not authz.allow with input as ask(["typo"], list_invoices) with data.tenants as acme
	not authz.allow with input as ask(["hollow"], list_invoices) with data.tenants as acme
}

test_a_deny_rule_wins_and_says_why if {
	delete := tool("ns_delete_record", "delete", "write", [])
	authz.deny == {{"code": "no_deletion", "message": "deletions go through the service desk"}} with input as ask(["developer"], delete) with data.tenants as acme
	authz.deny == set() with input as ask(["developer", "administrator"], delete) with data.tenants as acme
	authz.deny == set() with input as ask(["developer"], list_invoices) with data.tenants as acme
	authz.deny == set() with input as of_server(["developer"], "ping") with data.tenants as acme
}

test_a_deny_rule_by_role if {
	authz.deny == {{"code": "denied", "message": "the account is suspended"}} with input as of_server(["suspended"], "initialize") with data.tenants as acme
}

test_a_misspelt_deny_rule_denies_more_not_less if {
	count(authz.deny) == 1 with input as ask(["developer"], list_invoices) with data.tenants as {"acme": {"roles": {}, "deny": [{"tool": ["x"], "message": "m"}]}}
	count(authz.deny) == 1 with input as ask(["developer"], list_invoices) with data.tenants as {"acme": {"roles": {}, "deny": [{"tools": "x"}]}}
}

test_resources_by_pattern if {
	authz.allow with input as read(["reader"], "file:///pub/a/b.txt") with data.tenants as acme
	authz.allow with input as read(["reader"], "memo://one") with data.tenants as acme
	not authz.allow with input as read(["reader"], "file:///secret") with data.tenants as acme
	not authz.allow with input as read(["developer"], "file:///pub/a") with data.tenants as acme
}

test_a_star_does_not_leave_the_folder if {
	not authz.allow with input as read(["reader"], "file:///pub/../secret") with data.tenants as acme
	not authz.allow with input as read(["reader"], "file:///pub/%2E%2e/secret") with data.tenants as acme
	not authz.allow with input as read(["reader"], "file:///pub/%252e%252e/secret") with data.tenants as acme
	not authz.allow with input as read(["reader"], `file:///pub/..\secret`) with data.tenants as acme
}

test_subscriptions_and_completions_are_judged_as_their_resource_or_prompt if {
	every method in ["resources/subscribe", "resources/unsubscribe", "subscriptions/listen", "completion/complete", "resources/list", "resources/templates/list"] {
		asked := object.union(read(["reader"], "file:///pub/a"), {"method": method})
		authz.allow with input as asked with data.tenants as acme
		refused := object.union(read(["reader"], "file:///secret"), {"method": method})
		not authz.allow with input as refused with data.tenants as acme
	}
}

test_prompts_by_pattern if {
	authz.allow with input as prompt(["reader"], "hello") with data.tenants as acme
	not authz.allow with input as prompt(["reader"], "root") with data.tenants as acme
	completion := object.union(prompt(["reader"], "root"), {"method": "completion/complete"})
	not authz.allow with input as completion with data.tenants as acme
}

test_a_grant_of_resources_grants_no_tools if {
	not authz.allow with input as ask(["reader"], list_invoices) with data.tenants as acme
	not authz.allow with input as of_server(["reader"], "tasks/get") with data.tenants as acme
	authz.allow with input as of_server(["reader"], "resources/list") with data.tenants as acme
}

test_whoever_has_a_grant_may_use_the_servers_own_methods if {
	every method in ["initialize", "server/discover", "ping", "tools/list", "prompts/list", "logging/setLevel", "subscriptions/listen", "notifications/initialized", "notifications/cancelled", "tasks/get", "tasks/cancel", "tasks/list"] {
		authz.allow with input as of_server(["regional-manager"], method) with data.tenants as acme
	}
}

test_a_method_that_stands_nowhere_is_refused if {
	not authz.allow with input as of_server(["developer"], "sampling/createMessage") with data.tenants as acme
	not authz.allow with input as object.union(ask(["developer"], approve), {"method": "tools/run"}) with data.tenants as acme
	not authz.allow with input as of_server(["developer"], "tools/call") with data.tenants as acme
	not authz.allow with input as of_server(["developer"], "resources/read") with data.tenants as acme
}

test_a_scoped_url_narrows_by_method if {
	scope := {"id": "su_1", "methods": ["read"], "tags": []}
	authz.allow with input as with_scope(ask(["developer"], list_invoices), scope) with data.tenants as acme
	not authz.allow with input as with_scope(ask(["developer"], approve), scope) with data.tenants as acme
	authz.allow with input as with_scope(read(["reader"], "memo://one"), scope) with data.tenants as acme
	not authz.allow with input as with_scope(read(["reader"], "memo://one"), {"id": "su_1", "methods": ["create"]}) with data.tenants as acme
}

test_a_scoped_url_narrows_by_tag if {
	scope := {"id": "su_1", "methods": [], "tags": ["invoices"]}
	authz.allow with input as with_scope(ask(["developer"], approve), scope) with data.tenants as acme
	not authz.allow with input as with_scope(ask(["developer"], tool("x", "get", "read", ["vendors"])), scope) with data.tenants as acme
	not authz.allow with input as with_scope(ask(["developer"], tool("x", "get", "read", [])), scope) with data.tenants as acme
	not authz.allow with input as with_scope(read(["reader"], "memo://one"), scope) with data.tenants as acme
	not authz.allow with input as with_scope(prompt(["reader"], "hello"), scope) with data.tenants as acme
}

test_a_scoped_url_never_widens if {
	scope := {"id": "su_1", "methods": ["custom"], "tags": []}
	not authz.allow with input as with_scope(ask(["regional-manager"], approve), scope) with data.tenants as acme
}

test_a_scoped_url_alone_has_the_role_scoped_url if {
	holder := object.union(caller([]), {"authentication": {"kind": "scoped_url"}})
	question := object.union(with_scope(ask([], list_invoices), {"id": "su_1"}), {"caller": holder})
	authz.rules == {"acme/scoped-url/0"} with input as question with data.tenants as acme
	not authz.allow with input as object.union(question, {"tool": approve}) with data.tenants as acme
	not authz.allow with input as question with data.tenants as {"acme": {"roles": {}}}
}

deny_messages(rules) := {"acme": {"roles": {"developer": [{"servers": ["*"]}]}, "deny": rules}}

test_deny_rules_apply_where_all_of_them_does if {
	tenants := deny_messages([
		{"message": "a", "servers": ["netsuite"]},
		{"message": "b", "servers": ["tag:erp"]},
		{"message": "c", "servers": ["*"]},
		{"message": "d", "roles": ["developer"]},
		{"message": "e", "tools": ["list_*"]},
		{"message": "f", "tags": ["invoices"]},
		{"message": "g", "methods": ["read"]},
		{"message": "h", "methods": ["list"]},
		{"message": "i", "unless_roles": ["administrator"]},
		{"message": "j", "servers": ["netsuite"], "tools": ["*invoices"], "roles": ["developer"]},
	])
	count(authz.deny) == 10 with input as ask(["developer"], list_invoices) with data.tenants as tenants
}

test_deny_rules_do_not_apply_where_one_thing_differs if {
	tenants := deny_messages([
		{"message": "a", "servers": ["sap"]},
		{"message": "b", "servers": ["tag:sales"]},
		{"message": "c", "roles": ["clerk"]},
		{"message": "d", "tools": ["get_*"]},
		{"message": "e", "tags": ["vendors"]},
		{"message": "f", "methods": ["write", "delete"]},
		{"message": "g", "unless_roles": ["developer"]},
		{"message": "h", "resources": ["*"]},
		{"message": "i", "prompts": ["*"]},
		{"message": "j", "servers": ["sap"], "tools": ["*invoices"], "roles": ["developer"]},
	])
	authz.deny == set() with input as ask(["developer"], list_invoices) with data.tenants as tenants
}

test_a_deny_rule_on_resources_and_prompts if {
	count(authz.deny) == 1 with input as read(["reader"], "file:///pub/a") with data.tenants as {"acme": {"roles": {}, "deny": [{"resources": ["file:*"]}]}}
	count(authz.deny) == 1 with input as read(["reader"], "x://../file") with data.tenants as {"acme": {"roles": {}, "deny": [{"resources": ["file:*"]}]}}
	count(authz.deny) == 0 with input as read(["reader"], "memo://one") with data.tenants as {"acme": {"roles": {}, "deny": [{"resources": ["file:*"]}]}}
	count(authz.deny) == 1 with input as prompt(["reader"], "root") with data.tenants as {"acme": {"roles": {}, "deny": [{"prompts": ["ro*"]}]}}
	count(authz.deny) == 0 with input as prompt(["reader"], "hello") with data.tenants as {"acme": {"roles": {}, "deny": [{"prompts": ["ro*"]}]}}
}

test_a_star_at_either_end_or_in_the_middle if {
	every pattern in ["*", "list_*", "*_invoices", "*netsuite*", "list_*_invoices", "list_all_netsuite_invoices"] {
		authz.allow with input as ask(["r"], list_invoices) with data.tenants as {"acme": {"roles": {"r": [{"servers": ["netsuite"], "tools": ["zzz", pattern]}]}}}
	}
	every pattern in ["list", "list_", "get_*", "*_vendors", "*sap*", "list_*_vendors", "LIST_*", "ist_*"] {
		not authz.allow with input as ask(["r"], list_invoices) with data.tenants as {"acme": {"roles": {"r": [{"servers": ["netsuite"], "tools": ["zzz", pattern]}]}}}
	}
}
