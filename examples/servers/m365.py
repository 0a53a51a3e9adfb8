"""Microsoft 365 in small: mail and calendar. `python m365.py`, port 9106."""

from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

from behind_gate import serve
from kinds import READS, WRITES

server = MCPServer("m365", version="1.0")
MAIL = [{"id": "m1", "mailbox": "noor@construct.example", "subject": "Pour on Tuesday", "from": "ben@construct.example"}]
EVENTS = [{"id": "e1", "mailbox": "noor@construct.example", "title": "Site meeting", "start": "2026-12-01T08:00:00Z"}]


@server.tool(annotations=READS)
def list_mail(mailbox: str) -> dict[str, Any]:
    """Mail of a mailbox."""
    return {"messages": [mail for mail in MAIL if mail["mailbox"] == mailbox]}


@server.tool(annotations=ToolAnnotations(readOnlyHint=False, destructiveHint=False, openWorldHint=True))
def send_mail(mailbox: str, to: str, subject: str, body: str) -> dict[str, Any]:
    """Sends a message."""
    return {"sent": True, "from": mailbox, "to": to, "subject": subject}


@server.tool(annotations=READS)
def list_events(mailbox: str) -> dict[str, Any]:
    """The calendar of a mailbox."""
    return {"events": [event for event in EVENTS if event["mailbox"] == mailbox]}


@server.tool(annotations=WRITES)
def create_event(mailbox: str, title: str, start: str) -> dict[str, Any]:
    """Puts a meeting into a calendar."""
    return {"id": "e2", "mailbox": mailbox, "title": title, "start": start}


if __name__ == "__main__":
    serve(server, 9106)
