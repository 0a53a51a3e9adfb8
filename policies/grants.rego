# METADATA
# title: Grants
# description: |
#   Which of the caller's grants cover the question. The index (index.rego) says which can; the rest of what they say is
#   looked at here. Few rules and few calls: each costs microseconds, and every new decision comes through here.
package mcp.authz

# A scoped URL without roles of its own has the role `scoped-url`, where the tenant has one.
roles := input.caller.roles if {
	input.caller.roles[0]
} else := ["scoped-url"] if {
	input.caller.authentication.kind == "scoped_url"
}

# What the index has of the caller's roles for this server: by its name, by its tags, and for every server.
shelves := [by_server[term] |
	some role in roles
	by_server := by_role[role]
	some term in terms
] if {
	by_role := data.mcp.index.tenants[input.caller.tenant].roles
	terms := server_terms
}

# Servers by name, by tag (`tag:erp`), or every one (`*`).
server_terms := array.concat(["*", input.server.name], [concat("", ["tag:", tag]) | some tag in input.server.tags])

# The grants that cover the question, by name: `acme/regional-manager/0` is that role's first grant. Of a tool: those that
# name it, exactly or by a pattern, and those that mean every tool.
matching := object.union_n([
	{name: grant | some shelf in shelves; some name, grant in shelf.plain[tool]},
	{name: grant | some shelf in shelves; some name, grant in shelf.named[tool]; suits_tool(grant)},
	{name: grant |
		some shelf in shelves
		some beginning, grants in shelf.beginnings
		startswith(tool, beginning)
		some name, grant in grants
		suits_tool(grant)
	},
	{name: grant |
		some shelf in shelves
		some pattern, grants in shelf.patterns
		glob.match(pattern, null, tool)
		some name, grant in grants
		suits_tool(grant)
	},
]) if {
	tool := input.tool.name
	data.mcp.methods.tool[input.method]
	not scope_hides_tool
} else := {name: grant |
	some shelf in shelves
	some name, grant in shelf.resources
	names_resource(grant.resources)
	admits(grant, reading)
	conditions_hold(grant)
} if {
	input.resource
	data.mcp.methods.resource[input.method]
	scope_admits_reading
} else := {name: grant |
	some shelf in shelves
	some name, grant in shelf.prompts
	one_matches(grant.prompts, input.prompt.name)
	admits(grant, reading)
	conditions_hold(grant)
} if {
	input.prompt
	data.mcp.methods.prompt[input.method]
	scope_admits_reading
} else := {name: grant |
	some shelf in shelves
	some name, grant in shelf[opened]
	conditions_hold(grant)
} if {
	not input.tool
	not input.resource
	not input.prompt
} else := {}

# Where the index lists the grants that open the server itself, or its tasks.
opened := "server" if {
	data.mcp.methods.server[input.method]
} else := "tasks" if {
	data.mcp.methods.task[input.method]
}

suits_tool(grant) if {
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
