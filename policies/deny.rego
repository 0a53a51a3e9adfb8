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
	count({server | some server in rule.servers; server_terms[server]}) == 0
}

spares(rule) if {
	is_array(rule.roles)
	count({role | some role in roles; role in rule.roles}) == 0
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
	count({tag | some tag in input.tool.tags; tag in rule.tags}) == 0
}

spares(rule) if {
	is_array(rule.methods)
	count({kind | some kind in kinds; kind in rule.methods}) == 0
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

default kinds := set()

kinds := tool_kinds if input.tool

kinds := reading if {
	not input.tool
	input.resource
}

kinds := reading if {
	not input.tool
	not input.resource
	input.prompt
}
