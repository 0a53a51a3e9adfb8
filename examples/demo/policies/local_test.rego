package local_test

import data.mcp.authz

clerk := {
	"tenant": "local", "user": "clerk", "roles": ["clerk"], "groups": [],
	"attributes": {"region": "EMEA"}, "authentication": {"kind": "api_key"},
}

ask(name, operation, class) := {
	"phase": "call", "method": "tools/call", "caller": clerk, "server": {"name": "invoices", "tags": []},
	"tool": {"name": name, "operation": operation, "class": class, "tags": [], "pinned": false},
}

test_a_clerk_reads_the_invoices_of_her_region if {
	authz.allow with input as ask("list_invoices", "list", "read")
	authz.constraints == {"region": {"const": "EMEA"}} with input as ask("get_invoice", "get", "read")
}

test_a_clerk_changes_nothing if {
	not authz.allow with input as ask("create_invoice", "create", "write")
	not authz.allow with input as ask("delete_invoice", "delete", "write")
}
