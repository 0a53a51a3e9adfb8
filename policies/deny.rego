# METADATA
# title: What is refused whatever the grants say
# description: |
#   A rule under `deny` refuses unless something it says is shown not to apply. So a misspelt or broken rule
#   refuses too much, never too little.
package mcp.authz

deny contains {"code": code, "message": message} if {
	some rule in data.tenants[input.caller.tenant].deny
	not spares(rule)
	code := object.get(rule, "code", "denied")
	message := object.get(rule, "message", "refused by a rule of the tenant")
}

spares(rule) if {
	is_array(rule.servers)
	not one_is_server(rule.servers)
}

spares(rule) if {
	is_array(rule.roles)
	not one_is_role(rule.roles)
}

spares(rule) if {
	some role in roles
	role in rule.unless_roles
}

spares(rule) if {
	is_array(rule.tools)
	not one_matches(rule.tools, input.tool.name)
}

spares(rule) if {
	is_array(rule.tags)
	not carries_tag(rule)
}

spares(rule) if {
	is_array(rule.methods)
	not one_is_kind(rule.methods)
}

spares(rule) if {
	is_array(rule.resources)
	not input.resource
}

spares(rule) if {
	is_array(rule.resources)
	not strays(input.resource.uri)
	not one_matches(rule.resources, input.resource.uri)
}

spares(rule) if {
	is_array(rule.prompts)
	not one_matches(rule.prompts, input.prompt.name)
}

one_is_server(servers) if {
	some server in servers
	server_terms[server]
}

one_is_role(names) if {
	some role in roles
	role in names
}

one_is_kind(methods) if {
	input.tool
	some method in methods
	tool_kinds[method]
}

one_is_kind(methods) if {
	not input.tool
	about_reading
	some method in methods
	reading[method]
}

about_reading if input.resource

about_reading if input.prompt
