"""Salesforce in small: accounts and opportunities. `python salesforce.py`, port 9104."""

from typing import Any

from mcp.server.mcpserver import MCPServer

from behind_gate import serve
from kinds import CHANGES, READS

server = MCPServer("salesforce", version="1.0")
ACCOUNTS = [{"id": "001A", "name": "City of Ghent", "region": "EMEA"}, {"id": "001B", "name": "Port of Oakland", "region": "AMER"}]
OPPORTUNITIES = [{"id": "006A", "account": "001A", "name": "Bridge, lot 2", "amount": 2400000, "stage": "proposal"}]


@server.tool(annotations=READS)
def list_accounts() -> dict[str, Any]:
    """Accounts."""
    return {"accounts": ACCOUNTS}


@server.tool(annotations=READS)
def list_opportunities(account_id: str | None = None) -> dict[str, Any]:
    """Opportunities."""
    return {"opportunities": [item for item in OPPORTUNITIES if account_id in (None, item["account"])]}


@server.tool(annotations=CHANGES)
def update_opportunity(opportunity_id: str, stage: str) -> dict[str, Any]:
    """Moves an opportunity to another stage."""
    return {"id": opportunity_id, "stage": stage}


if __name__ == "__main__":
    serve(server, 9104)
