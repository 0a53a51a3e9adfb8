# METADATA
# title: Scoped URLs
# description: |
#   A scoped URL narrows what its holder could do otherwise, whatever their roles say. When it ends, the gate ends it.
package mcp.authz

scope_hides_tool if {
	input.scope
	not scope_admits_tool
}

scope_admits_tool if {
	scope_has_method(tool_kinds)
	scope_has_tag
}

# Resources and prompts are read, and carry no tags: a URL narrowed to tags leads to tools only.
scope_admits_reading if not input.scope

scope_admits_reading if {
	scope_has_method(reading)
	count(object.get(input.scope, "tags", [])) == 0
}

scope_has_method(_) if count(object.get(input.scope, "methods", [])) == 0

scope_has_method(kinds) if {
	some method in input.scope.methods
	method in kinds
}

scope_has_tag if count(object.get(input.scope, "tags", [])) == 0

scope_has_tag if {
	some tag in input.scope.tags
	tag in input.tool.tags
}
