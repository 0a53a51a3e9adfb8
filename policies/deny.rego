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
	terms := server_terms
	not shares(rule.servers, terms)
}

spares(rule) if {
	is_array(rule.roles)
	callers := roles
	not shares(rule.roles, callers)
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
	own := tool_kinds
	not shares(rule.methods, own)
}

spares(rule) if {
	is_array(rule.methods)
	not input.tool
	own := reading
	not shares(rule.methods, own)
}

# What concerns the server itself has no method in this sense.
spares(rule) if {
	is_array(rule.methods)
	not input.tool
	not input.resource
	not input.prompt
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

shares(some_words, words) if {
	some word in some_words
	word in words
}
