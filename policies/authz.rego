# METADATA
# title: The answer
# description: |
#   What the gate reads: allow, deny, rules, constraints, redact. Who may do what stands in tenants/<tenant>/data.yaml;
#   nothing here names a tenant, a role or a tool. It reads no clock and no arguments, so that its answers can be kept.
package mcp.authz

# No grant, no access.
default allow := false

allow if count(matching) > 0

default rules := set()

# Every grant that allows it, as TENANT/ROLE/POSITION: `acme/regional-manager/0` is that role's first grant.
rules := object.keys(matching)
