# METADATA
# title: Grants
# description: |
#   Which of the caller's grants cover the question. The index (index.rego) says which can; the rest of what they say is
#   looked at here.
package mcp.authz

tenant := data.mcp.index.tenants[input.caller.tenant]

# A scoped URL without roles of its own has the role `scoped-url`, where the tenant has one.
roles := input.caller.roles if {
	count(input.caller.roles) > 0
} else := ["scoped-url"] if {
	input.caller.authentication.kind == "scoped_url"
}

# Servers by name, by tag (`tag:erp`), or every one (`*`).
server_terms := {"*", input.server.name} | {concat("", ["tag:", tag]) | some tag in input.server.tags}

# What the index has of the caller's roles for this server.
shelves := [tenant.roles[role][term] | some role in roles; some term in server_terms]

# The grants that cover the question, by name: `acme/regional-manager/0` is that role's first grant.
default matching := {}

matching := {name: grant |
	tool_methods[input.method]
	scope_admits_tool
	some name in for_tool
	grant := tenant.grants[name]
	suits_tool(grant)
} if {
	input.tool
}

matching := {name: grant |
	resource_methods[input.method]
	scope_admits_reading
	some shelf in shelves
	some name in shelf.resources
	grant := tenant.grants[name]
	names_resource(grant.resources)
	admits(grant, reading)
	conditions_hold(grant)
} if {
	input.resource
}

matching := {name: grant |
	prompt_methods[input.method]
	scope_admits_reading
	some shelf in shelves
	some name in shelf.prompts
	grant := tenant.grants[name]
	one_matches(grant.prompts, input.prompt.name)
	admits(grant, reading)
	conditions_hold(grant)
} if {
	input.prompt
}

matching := {name: grant |
	some shelf in shelves
	some name in shelf[opened]
	grant := tenant.grants[name]
	conditions_hold(grant)
} if {
	not input.tool
	not input.resource
	not input.prompt
}

# The grants that name the tool, exactly or by a pattern, and those that mean every tool.
for_tool contains name if {
	some shelf in shelves
	some name in shelf.named[input.tool.name]
}

for_tool contains name if {
	some shelf in shelves
	some name in shelf.every
}

for_tool contains name if {
	some shelf in shelves
	some beginning, names in shelf.beginnings
	startswith(input.tool.name, beginning)
	some name in names
}

for_tool contains name if {
	some shelf in shelves
	some pattern, names in shelf.patterns
	glob.match(pattern, null, input.tool.name)
	some name in names
}

suits_tool(grant) if {
	grant == {} # it says nothing more
} else if {
	admits(grant, tool_kinds)
	carries_tag(grant)
	conditions_hold(grant)
}

# What the tool or the reading is called, in a grant's `methods`.
admits(grant, kinds) if {
	not grant.methods
} else if {
	some method in grant.methods
	kinds[method]
}

tool_kinds := {input.tool.operation, input.tool.class}

# Resources and prompts are only read.
reading := {"get", "read"}

carries_tag(grant) if {
	not grant.tags
} else if {
	some tag in grant.tags
	tag in input.tool.tags
}

# A `*` in a pattern stands for any text; but never for a way out of the folder, plain or encoded.
names_resource(patterns) if {
	input.resource.uri in patterns
} else if {
	not strays(input.resource.uri)
	one_matches(patterns, input.resource.uri)
}

strays(uri) if {
	some sign in ["..", "%2e", "%2f", "%5c", "%25", "\\"]
	contains(lower(uri), sign)
}

# Exact names first, by one look-up; then patterns.
one_matches(patterns, text) if {
	text in patterns
} else if {
	some pattern in patterns
	contains(pattern, "*")
	glob.match(pattern, null, text)
}
