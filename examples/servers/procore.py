"""Procore in small: RFIs and submittals of projects. `python procore.py`, port 9103."""

from typing import Any

from mcp.server.mcpserver import MCPServer

from behind_gate import serve
from kinds import CHANGES, READS, WRITES

server = MCPServer("procore", version="1.0")
RFIS = [
    {"id": "RFI-12", "project": "bridge", "subject": "Rebar spacing, pier 3", "status": "open"},
    {"id": "RFI-13", "project": "tower", "subject": "Facade anchors", "status": "open"},
]
SUBMITTALS = [
    {"id": "SUB-4", "project": "bridge", "title": "Concrete mix C35/45", "status": "in review"},
    {"id": "SUB-5", "project": "tower", "title": "Curtain wall sample", "status": "approved"},
]


@server.tool(annotations=READS)
def list_rfis(project: str | None = None) -> dict[str, Any]:
    """Requests for information."""
    return {"rfis": [rfi for rfi in RFIS if project in (None, rfi["project"])]}


@server.tool(annotations=WRITES)
def create_rfi(project: str, subject: str) -> dict[str, Any]:
    """Asks the designer a question."""
    return {"id": "RFI-14", "project": project, "subject": subject, "status": "open"}


@server.tool(annotations=READS)
def list_submittals(project: str | None = None) -> dict[str, Any]:
    """Submittals."""
    return {"submittals": [item for item in SUBMITTALS if project in (None, item["project"])]}


@server.tool(annotations=CHANGES)
def approve_submittal(project: str, submittal_id: str) -> dict[str, Any]:
    """Approves a submittal."""
    return {"id": submittal_id, "project": project, "status": "approved"}


if __name__ == "__main__":
    serve(server, 9103)
