"""What the official conformance suite wants of a server, on the official Python SDK, both eras: `python.py [PORT]` prints
`ready <port>`. What its tools, resources and prompts give is in fixtures.json.
"""

import asyncio
import base64
import json
import logging
import os
import secrets
import socket
import sys
import threading
import warnings
from pathlib import Path

import uvicorn
from mcp.server.mcpserver import Context, MCPServer, RequestStateSecurity
from mcp.server.mcpserver.prompts.base import Prompt, PromptArgument
from mcp.server.streamable_http import EventMessage, EventStore
from mcp.shared.exceptions import MCPError
from mcp.types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CallToolResult,
    Completion,
    ElicitResult,
    EmptyResult,
    InputRequiredResult,
    SamplingMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    UnsubscribeRequestParams,
)

FIXTURES = json.loads((Path(__file__).parent / "fixtures.json").read_text())
server = MCPServer(
    "conforming-python", version="1.0.0", request_state_security=RequestStateSecurity(keys=[secrets.token_bytes(32)])
)


def content(items):
    return CallToolResult.model_validate({"content": items})


def text(said):
    return content([{"type": "text", "text": said}])


def tool(name, run, schema=None):
    server.add_tool(run, name=name, description=name)
    if schema:
        server._tool_manager._tools[name].parameters = schema


def answers(items):
    def run() -> CallToolResult:
        return content(items)

    return run


def elicits(message, schema):
    async def run(ctx: Context) -> CallToolResult:
        return await elicit(ctx, message, schema)

    return run


async def elicit(ctx, message, schema):
    said = await ctx.session.elicit_form(message, schema, ctx.request_id)
    return text(f"Elicitation completed: action={said.action}, content={json.dumps(said.content or {})}")


def rounds(fixture):
    async def run(ctx: Context) -> CallToolResult | InputRequiredResult:
        result = in_rounds(fixture, ctx)
        return text(result) if isinstance(result, str) else result

    return run


def in_rounds(fixture, ctx):
    """A call in several rounds: which one comes next is in its state, where it has one."""
    responses = ctx.input_responses or {}
    state = json.loads(ctx.request_state) if ctx.request_state else {"round": 0, "heard": {}}
    heard = state["heard"] | {key: response.model_dump(mode="json") for key, response in responses.items()}
    asked, number = fixture["rounds"], state["round"]
    if responses and all(fits(what, responses.get(key)) or "declared" in fixture for key, what in asked[number].items()):
        number += 1
    if number == len(asked):
        return json.dumps(heard)
    requests = wanted(asked[number], ctx.client_capabilities, "declared" in fixture)
    result = {"inputRequests": requests, "resultType": "input_required"}
    if "state" in fixture:
        result["requestState"] = json.dumps({"round": number, "heard": heard})
    return InputRequiredResult.model_validate(result)


def wanted(asked, declared, only_declared):
    """What is asked; a client that cannot do it is told so, or not asked."""

    def can(what):
        return getattr(declared, what["method"].split("/")[0], None) is not None

    for what in asked.values():
        if not can(what) and not only_declared:
            needed = {"requiredCapabilities": {what["method"].split("/")[0]: {}}}
            raise MCPError(code=MISSING_REQUIRED_CLIENT_CAPABILITY, message="The client cannot do it", data=needed)
    return {key: what for key, what in asked.items() if can(what)}


def fits(asked, response):
    """Whether a response is one to what was asked."""
    if asked["method"] != "elicitation/create":
        return response is not None and not isinstance(response, ElicitResult)
    if not isinstance(response, ElicitResult) or response.action != "accept":
        return False
    kinds = {"string": str, "boolean": bool}
    properties = asked["params"]["requestedSchema"]["properties"]
    return all(isinstance((response.content or {}).get(key), kinds[it["type"]]) for key, it in properties.items())


for name, items in FIXTURES["answers"].items():
    tool(name, answers(items))
for name, asked in FIXTURES["elicits"].items():
    tool(name, elicits(asked["message"], asked["requestedSchema"]))
for name, fixture in FIXTURES["rounds"].items():
    tool(name, rounds(fixture))
for name, schema in FIXTURES["schemas"].items():
    tool(name, answers([{"type": "text", "text": name}]), schema)


def described(run):
    return server.tool(description=run.__name__)(run)


@described
def test_error_handling() -> str:
    raise RuntimeError("as the suite wants it")


@described
async def test_tool_with_progress(ctx: Context) -> str:
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100, f"{done} of 100")
        await asyncio.sleep(0.02)
    return "done"


@described
async def test_tool_with_logging(ctx: Context) -> str:
    for said in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.info(said)
        await asyncio.sleep(0.02)
    return "logged"


@described
async def test_logging_tool(ctx: Context) -> str:
    await ctx.info("only for those who asked for it")
    return "logged"


@described
async def test_reconnection(ctx: Context) -> str:
    await ctx.close_sse_stream()
    await asyncio.sleep(0.1)
    return "after the stream was closed"


@described
async def test_sampling(prompt: str, ctx: Context) -> str:
    messages = [SamplingMessage(role="user", content=TextContent(type="text", text=prompt))]
    said = await ctx.session.create_message(messages, max_tokens=100, related_request_id=ctx.request_id)
    return f"LLM response: {said.content.text}"


@described
async def test_elicitation(message: str, ctx: Context) -> CallToolResult:
    schema = {"type": "object", "properties": {"response": {"type": "string"}}, "required": ["response"]}
    return await elicit(ctx, message, schema)


@described
async def test_trigger_tool_change(ctx: Context) -> str:
    await ctx.notify_tools_changed()
    return "said"


@described
async def test_trigger_prompt_change(ctx: Context) -> str:
    await ctx.notify_prompts_changed()
    return "said"


def resource(uri, contents):
    @server.resource(uri, mime_type=contents["mimeType"])
    def read() -> str | bytes:
        return contents["text"] if "text" in contents else base64.b64decode(contents["blob"])


for uri, contents in FIXTURES["resources"].items():
    resource(uri, contents)


@server.resource("test://template/{id}/data", mime_type="application/json")
def template(id: str) -> str:
    return json.dumps({"id": id, "templateTest": True})


def prompt(name, fixture):
    def run(**given):
        filled = json.dumps(fixture["messages"])
        for key in fixture["arguments"]:
            filled = filled.replace("{" + key + "}", given[key])
        return [{"role": "user", "content": it} for it in json.loads(filled)]

    wants = [PromptArgument(name=key, required=True) for key in fixture["arguments"]]
    server.add_prompt(Prompt(name=name, description=name, arguments=wants, fn=run))


for name, fixture in FIXTURES["prompts"].items():
    prompt(name, fixture)


@server.prompt()
async def test_input_required_result_prompt(ctx: Context):
    """Asks first."""
    return in_rounds(FIXTURES["rounds_of_prompt"], ctx)


@server.completion()
async def complete(ref, argument, context):
    return Completion(values=[], total=0, has_more=False)


async def nothing(ctx, params):
    return EmptyResult()


for method, params in {
    "logging/setLevel": SetLevelRequestParams,
    "resources/subscribe": SubscribeRequestParams,
    "resources/unsubscribe": UnsubscribeRequestParams,
}.items():
    server._lowlevel_server.add_request_handler(method, params, nothing)


class Events(EventStore):
    """The events of the sessions' streams, for whoever comes back for them."""

    def __init__(self):
        self.all = []

    async def store_event(self, stream_id, message):
        self.all.append((stream_id, message))
        return str(len(self.all) - 1)

    async def replay_events_after(self, last_event_id, send_callback):
        last = int(last_event_id)
        stream = self.all[last][0]
        for number, (own, message) in enumerate(self.all):
            if number > last and own == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


def main():
    warnings.simplefilter("ignore")
    if os.environ.get("EXIT_WITH_PARENT"):  # a test that is killed leaves no server behind
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0))
    logging.disable(logging.ERROR)
    app = server.streamable_http_app(event_store=Events(), retry_interval=500)
    print(f"ready {listener.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)).run(sockets=[listener])


main()
