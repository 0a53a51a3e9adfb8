"""An agent on the official Python SDK. Reads one JSON object from standard input:

{"url": "...", "headers": {...}, "mode": "auto" | "legacy" | "modern", "steps": [{"do": "list_tools"}, ...]}

and prints one JSON line per step: {"step": n, "ok": {...}} or {"step": n, "error": {"kind", "code", "message", "data"}}.
Step 0 is the connection.
"""

import asyncio
import json
import sys
import warnings

import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import PromptReference, ResourceTemplateReference

MODES = {"auto": "auto", "legacy": "legacy", "modern": "2026-07-28"}


def say(step, **what):
    print(json.dumps({"step": step, **what}), flush=True)


def failure(error):
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    detail = getattr(error, "error", None) or error
    return {
        "kind": type(error).__name__,
        "code": getattr(detail, "code", None),
        "message": str(getattr(detail, "message", error)),
        "data": getattr(detail, "data", None),
    }


def plain(result):
    return result.model_dump(mode="json", by_alias=True, exclude_none=True)


async def play(client, step):
    do = step["do"]
    if do == "list_tools":
        return plain(await client.list_tools(cursor=step.get("cursor"), cache_mode="bypass"))
    if do == "call_tool":
        return await call(client, step)
    if do == "list_resources":
        return plain(await client.list_resources(cache_mode="bypass"))
    if do == "list_resource_templates":
        return plain(await client.list_resource_templates(cache_mode="bypass"))
    if do == "read_resource":
        return plain(await client.read_resource(step["uri"], cache_mode="bypass"))
    if do == "list_prompts":
        return plain(await client.list_prompts(cache_mode="bypass"))
    if do == "get_prompt":
        return plain(await client.get_prompt(step["name"], step.get("arguments")))
    if do == "complete":
        return plain(await client.complete(reference(step), step["argument"]))
    if do == "ping":
        return plain(await client.send_ping())
    if do == "sleep":
        await asyncio.sleep(step["seconds"])
        return {}
    raise ValueError(f"unknown step {do}")


async def call(client, step):
    seen = []

    async def on_progress(progress, total, message):
        seen.append({"progress": progress, "total": total, "message": message})

    result = await client.call_tool(
        step["name"], step.get("arguments"), progress_callback=on_progress, meta=step.get("meta")
    )
    return {**plain(result), "progress": seen}


def reference(step):
    if "prompt" in step:
        return PromptReference(type="ref/prompt", name=step["prompt"])
    return ResourceTemplateReference(type="ref/resource", uri=step["resource"])


async def main():
    script = json.load(sys.stdin)
    timeout = httpx2.Timeout(30, read=script.get("timeout", 60))
    warnings.simplefilter("ignore")
    try:
        async with httpx2.AsyncClient(headers=script.get("headers", {}), timeout=timeout) as http:
            transport = streamable_http_client(script["url"], http_client=http)
            async with Client(transport, mode=MODES[script.get("mode", "auto")]) as client:
                say(0, ok={"protocol": client.protocol_version})
                for number, step in enumerate(script["steps"], 1):
                    try:
                        say(number, ok=await play(client, step))
                    except Exception as error:
                        say(number, error=failure(error))
    except BaseException as error:
        say(0, error=failure(error))


asyncio.run(main())
