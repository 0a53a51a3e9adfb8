"""What the official conformance suite wants of a client, on the official Python SDK: `python.py URL`; the scenario is in the
environment.
"""

import asyncio
import json
import os
import sys
import warnings

from mcp.client.client import Client
from mcp.types import CreateMessageResult, ElicitResult, ListRootsResult, TextContent

SCENARIO = os.environ["MCP_CONFORMANCE_SCENARIO"]
# The server of one scenario speaks the older revisions whatever it is asked for.
MODERN = os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION") == "2026-07-28" and SCENARIO != "json-schema-ref-no-deref"
SUM = [("add_numbers", {"a": 5, "b": 3})]
ROUNDS = ("test_mrtr_echo_state", "test_mrtr_unrelated", "test_mrtr_no_state", "test_mrtr_no_result_type")
CALLS = {
    "tools_call": SUM,
    "request-metadata": SUM,
    "sse-retry": [("test_reconnection", {})],
    "elicitation-sep1034-client-defaults": [("test_client_elicitation_defaults", {})],
    "sep-2322-client-request-state": [(name, {}) for name in ROUNDS],
}
STUBS = {"string": "x", "integer": 0, "number": 0, "boolean": False, "object": {}, "array": [], "null": None}


def required(schema):
    properties = schema.get("properties", {})
    return {key: STUBS.get(properties.get(key, {}).get("type"), "x") for key in schema.get("required", [])}


def calls(tools):
    listed = {tool.name: tool.input_schema for tool in tools}
    if SCENARIO == "http-custom-headers":
        wanted = json.loads(os.environ["MCP_CONFORMANCE_CONTEXT"])["toolCalls"]
        return [(it["name"], it.get("arguments") or {}) for it in wanted if it["name"] in listed]
    if SCENARIO in ("http-standard-headers", "http-invalid-tool-headers"):
        return [(name, required(schema)) for name, schema in listed.items()]
    if SCENARIO == "json-schema-2020-12-preservation":
        return [("json_schema_echo", {"schema": listed["json_schema_2020_12_tool"]})]
    return CALLS.get(SCENARIO, [])


async def untouched(context, params):
    """The form as it is when nobody touches it."""
    properties = getattr(params, "requested_schema", {}).get("properties", {})
    filled = {key: it["default"] for key, it in properties.items() if "default" in it}
    confirmed = {"confirmed": True} if SCENARIO.startswith("sep-2322") else {}
    return ElicitResult(action="accept", content=filled | confirmed)


async def roots(context):
    return ListRootsResult(roots=[])


async def sampling(context, params):
    return CreateMessageResult(role="assistant", model="none", content=TextContent(type="text", text=""))


async def main():
    warnings.simplefilter("ignore")
    callbacks = {"elicitation_callback": untouched, "list_roots_callback": roots, "sampling_callback": sampling}
    async with Client(sys.argv[-1], mode="auto" if MODERN else "legacy", **callbacks) as client:
        for name, given in calls((await client.list_tools()).tools):
            try:
                await client.call_tool(name, given)
            except Exception as error:
                print(f"{name}: {error}", file=sys.stderr)
        if SCENARIO == "http-standard-headers":
            for resource in (await client.list_resources()).resources:
                await client.read_resource(resource.uri)
            for prompt in (await client.list_prompts()).prompts:
                await client.get_prompt(prompt.name)


asyncio.run(main())
