# METADATA
# title: Index
# description: |
#   The tenants' grants, arranged by what questions ask for. Nothing here reads input, so the gate works it out once, when
#   it reads the directory, and a question touches only the grants that can cover it. A grant counts when every word of it is
#   known: `tool:` for `tools:` must not turn "these tools" into "every tool".
package mcp.index

# What a grant says besides its servers and tools, by its name: `acme/regional-manager/0` is that role's first grant.
# Conditions and masks stand under `limits`.
rests[name] := rest if {
	some name, [_, _, grant] in sound
	says := {key: value | some key in ["methods", "tags", "resources", "prompts"]; value := grant[key]}
	limits := {"limits": object.filter(grant, ["when", "redact"]) | has_limits(grant)}
	rest := object.union(says, limits)
}

# Which grants name a tool, tenant by tenant, role by role, server by server (`tag:erp` and `*` are servers here). Those that
# say nothing else stand apart: nothing more is to be asked of them.
tenants[tenant].roles[role][server].plain[tool][name] := {} if {
	some name, [tenant, role, grant] in sound
	rests[name] == {}
	some server in grant.servers
	some tool in grant.tools
}

tenants[tenant].roles[role][server].named[tool][name] := rest if {
	some name, [tenant, role, grant] in sound
	rest := rests[name]
	rest != {}
	some server in grant.servers
	some tool in grant.tools
}

# Which have patterns to try: by the text before their only star, or as they are. A grant that names no tools means every
# tool, which is what begins with nothing.
tenants[tenant].roles[role][server].beginnings[beginning][name] := rest if {
	some name, [tenant, role, grant] in sound
	rest := rests[name]
	some server in grant.servers
	some beginning in beginnings(grant)
}

tenants[tenant].roles[role][server].patterns[pattern][name] := rest if {
	some name, [tenant, role, grant] in sound
	rest := rests[name]
	some server in grant.servers
	some pattern in grant.tools
	contains(trim_suffix(pattern, "*"), "*")
}

tenants[tenant].roles[role][server].resources[name] := rest if {
	some name, [tenant, role, grant] in sound
	rest := rests[name]
	grant.resources
	some server in grant.servers
}

tenants[tenant].roles[role][server].prompts[name] := rest if {
	some name, [tenant, role, grant] in sound
	rest := rests[name]
	grant.prompts
	some server in grant.servers
}

# Which open the server itself, and which its tasks.
tenants[tenant].roles[role][server].server[name] := rest if {
	some name, [tenant, role, grant] in sound
	rest := rests[name]
	some server in grant.servers
}

tenants[tenant].roles[role][server].tasks[name] := rest if {
	some name, [tenant, role, grant] in sound
	rest := rests[name]
	speaks_of_tools(grant)
	some server in grant.servers
}

tenants[tenant].deny := rules if {
	some tenant, entry in data.tenants
	rules := entry.deny
}

# The grants that say nothing unknown.
sound[name] := [tenant, role, grant] if {
	some tenant, entry in data.tenants
	some role, grants in entry.roles
	some position, grant in grants
	count(object.keys(grant) - words) == 0
	every key in ["tools", "methods", "tags", "resources", "prompts", "redact"] {
		is_list(object.get(grant, key, []))
	}
	is_list(grant.servers)
	is_object(object.get(grant, "when", {}))
	name := concat("/", [tenant, role, format_int(position, 10)])
}

words := {"servers", "tools", "tags", "methods", "resources", "prompts", "when", "redact"}

is_list(value) if {
	is_array(value)
	every word in value {
		is_string(word)
	}
}

beginnings(grant) := [""] if {
	not "tools" in object.keys(grant)
	about_tools(grant)
} else := [beginning | some pattern in grant.tools; [beginning, ""] = split(pattern, "*")]

speaks_of_tools(grant) if grant.tools

speaks_of_tools(grant) if about_tools(grant)

# A grant that names only resources or prompts has nothing to say of tools.
about_tools(grant) if {
	not grant.resources
	not grant.prompts
} else if {
	grant.tags
} else if {
	grant.methods
}

has_limits(grant) if {
	grant.when
} else if {
	grant.redact
}
