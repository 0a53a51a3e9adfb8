# METADATA
# title: Methods
# description: |
#   Which MCP methods a question may come from. The lists are closed: a method that stands nowhere is refused.
package mcp.methods

tool := {"tools/call", "tools/list", "tasks/get", "tasks/result", "tasks/update", "tasks/cancel"}

resource := {
	"resources/read", "resources/subscribe", "resources/unsubscribe",
	"resources/list", "resources/templates/list",
	"completion/complete", "subscriptions/listen",
}

prompt := {"prompts/get", "prompts/list", "completion/complete"}

# What concerns the server itself is open to whoever has a grant there. Lists are filtered entry by entry.
server := {
	"initialize", "server/discover", "ping",
	"tools/list", "resources/list", "resources/templates/list", "prompts/list",
	"logging/setLevel", "subscriptions/listen",
	"notifications/initialized", "notifications/cancelled", "notifications/progress",
	"notifications/roots/list_changed", "notifications/tasks/status",
	"", # what has no method: a stream opened, a session ended, a client's answer to the server
}

# Tasks are calls that take long. The gate gives a task only to the caller who started it.
task := {"tasks/list", "tasks/get", "tasks/result", "tasks/update", "tasks/cancel"}

