# METADATA
# title: What is refused whatever the grants say
# description: |
#   A rule under `deny` refuses unless something it says is shown not to apply. So a misspelt or broken rule
#   refuses too much, never too little.
package mcp.authz

deny contains {"code": code, "message": message} if {
	some rule in data.mcp.index.tenants[input.caller.tenant].deny
	not spares(rule)
	code := object.get(rule, "code", "denied")
	message := object.get(rule, "message", "refused by a rule of the tenant")
}

spares(rule) if {
	is_array(rule.tools)
	not one_matches(rule.tools, input.tool.name)
} else if {
	is_array(rule.servers)
	terms := server_terms
	not shares(rule.servers, terms)
} else if {
	is_array(rule.roles)
	callers := roles
	not shares(rule.roles, callers)
} else if {
	some role in roles
	role in rule.unless_roles
} else if {
	is_array(rule.tags)
	not carries_tag(rule)
} else if {
	is_array(rule.methods)
	own := tool_kinds
	not shares(rule.methods, own)
} else if {
	is_array(rule.methods)
	not input.tool
	own := reading
	not shares(rule.methods, own)
} else if {
	# What concerns the server itself has no method in this sense.
	is_array(rule.methods)
	not input.tool
	not input.resource
	not input.prompt
} else if {
	is_array(rule.resources)
	not input.resource
} else if {
	is_array(rule.resources)
	not strays(input.resource.uri)
	not one_matches(rule.resources, input.resource.uri)
} else if {
	is_array(rule.prompts)
	not one_matches(rule.prompts, input.prompt.name)
}

shares(some_words, words) if {
	some word in some_words
	word in words
}
