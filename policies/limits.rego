# METADATA
# title: Conditions on arguments, and redaction
# description: |
#   `when` becomes `constraints`: the gate shows them in a tool's schema and holds arguments to them. A grant whose
#   conditions cannot be read, say because the caller lacks the attribute, does not count.
package mcp.authz

conditions_hold(grant) if {
	not grant.limits.when
} else if {
	when := grant.limits.when
	count(when) == count(conditions(when))
}

conditions(when) := {argument: schema | some argument, condition in when; schema := schema_of(condition)}

# `caller.region` is the caller's own region; a list is a choice; an object is a JSON Schema; all else is a fixed value.
schema_of(condition) := condition if {
	is_object(condition)
} else := {"enum": condition} if {
	is_array(condition)
} else := {"const": condition} if {
	not is_reference(condition)
} else := one_of(of_caller(substring(condition, 7, -1)))

is_reference(condition) if {
	is_string(condition)
	startswith(condition, "caller.")
}

# A caller with several values of an attribute may use any of them; one without it has no grant.
one_of(value) := {"enum": value} if {
	is_array(value)
} else := {"const": value}

of_caller(name) := input.caller.user if {
	name == "user"
} else := input.caller.agent if {
	name == "agent"
} else := input.caller.tenant if {
	name == "tenant"
} else := input.caller.attributes[name]

# Limits matter only where no grant without limits covers the question.
limited := [grant.limits | some grant in matching] if {
	every grant in matching {
		grant.limits
	}
} else := []

default constraints := {}

# One grant without conditions lifts those of the others. Several conditions are a choice, where all speak of one and the
# same argument; otherwise all hold.
constraints := {argument: schema |
	some argument in arguments
	schemas := {schema | some limits in limited; schema := schema_of(limits.when[argument])}
	schema := joined(schemas, count(arguments))
} if {
	limited[0]
	every limits in limited {
		limits.when
	}
	arguments := {argument | some limits in limited; some argument in object.keys(limits.when)}
}

joined(schemas, arguments) := schema if {
	count(schemas) == 1
	some schema in schemas
} else := {"anyOf": [schema | some schema in schemas]} if {
	arguments == 1
} else := {"allOf": [schema | some schema in schemas]}

default redact := set()

# Masks add up.
redact := {mask | some limits in limited; some mask in limits.redact}
