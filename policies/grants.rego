# METADATA
# title: Grants
# description: |
#   Roles are looked up by name, and only the grants of the caller's own roles are read. A grant counts when
#   everything it says is true and every word of it is known: `tool:` for `tools:` must not turn "these tools" into
#   "every tool".
package mcp.authz

# The grants that cover the question, by name: `acme/regional-manager/0` is that role's first grant.
default matching := {}

matching := {name: grant |
	tool_methods[input.method]
	scope_admits_tool
	some role in roles
	some position, grant in data.tenants[input.caller.tenant].roles[role]
	some server in grant.servers
	server_terms[server]
	covers_tool(grant)
	well_formed(grant)
	name := concat("/", [input.caller.tenant, role, format_int(position, 10)])
} if {
	input.tool
}

matching := {name: grant |
	resource_methods[input.method]
	scope_admits_reading
	some role in roles
	some position, grant in data.tenants[input.caller.tenant].roles[role]
	some server in grant.servers
	server_terms[server]
	covers_resource(grant)
	well_formed(grant)
	name := concat("/", [input.caller.tenant, role, format_int(position, 10)])
} if {
	input.resource
}

matching := {name: grant |
	prompt_methods[input.method]
	scope_admits_reading
	some role in roles
	some position, grant in data.tenants[input.caller.tenant].roles[role]
	some server in grant.servers
	server_terms[server]
	covers_prompt(grant)
	well_formed(grant)
	name := concat("/", [input.caller.tenant, role, format_int(position, 10)])
} if {
	input.prompt
}

matching := {name: grant |
	some role in roles
	some position, grant in data.tenants[input.caller.tenant].roles[role]
	some server in grant.servers
	server_terms[server]
	opens_method(grant)
	well_formed(grant)
	name := concat("/", [input.caller.tenant, role, format_int(position, 10)])
} if {
	not input.tool
	not input.resource
	not input.prompt
}

# A scoped URL without roles of its own has the role `scoped-url`, where the tenant has one.
roles := input.caller.roles if {
	count(input.caller.roles) > 0
} else := ["scoped-url"] if {
	input.caller.authentication.kind == "scoped_url"
}

# Tools by name, by tag, or both; then by method.
covers_tool(grant) if {
	names_tool(grant)
	some method in object.get(grant, "methods", tool_kinds)
	tool_kinds[method]
	carries_tag(grant)
}

covers_resource(grant) if {
	names_resource(grant.resources)
	some method in object.get(grant, "methods", reading)
	reading[method]
}

covers_prompt(grant) if {
	one_matches(grant.prompts, input.prompt.name)
	some method in object.get(grant, "methods", reading)
	reading[method]
}

names_tool(grant) if {
	one_matches(grant.tools, input.tool.name)
} else if {
	not grant.tools
	about_tools(grant)
}

# A grant that names only resources or prompts has nothing to say of tools.
about_tools(grant) if {
	not grant.resources
	not grant.prompts
} else if {
	grant.tags
} else if {
	grant.methods
}

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

# What a grant's `methods` are compared with: the tool's operation and its class. Resources and prompts are only read.
tool_kinds := {input.tool.operation, input.tool.class}

reading := {"get", "read"}

# Servers by name, by tag (`tag:erp`), or every one (`*`).
server_terms := {"*", input.server.name} | {concat("", ["tag:", tag]) | some tag in input.server.tags}

# Exact names first, by one look-up; then `list_*`, by its beginning; then patterns with a `*` elsewhere.
one_matches(patterns, text) if {
	text in patterns
} else if {
	contains(concat(" ", patterns), "*")
	some pattern in patterns
	[beginning, ""] = split(pattern, "*")
	startswith(text, beginning)
} else if {
	contains(concat(" ", patterns), "*")
	some pattern in patterns
	contains(trim_suffix(pattern, "*"), "*")
	glob.match(pattern, null, text)
}
