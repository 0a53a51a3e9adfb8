"""Purchase orders of SAP S/4HANA in small, behind OAuth client credentials as on SAP BTP. `python sap.py`, port 9102.

The token endpoint is POST /oauth/token on the same port (SAP_CLIENT_ID, SAP_CLIENT_SECRET). Tokens live 60 seconds;
the MCP endpoint takes those that it gave out and no others.
"""

import base64
import os
import secrets
import time
from typing import Any
from urllib.parse import parse_qs

from mcp.server.mcpserver import MCPServer
from starlette.requests import Request
from starlette.responses import JSONResponse

import behind_gate
from kinds import CHANGES, READS, WRITES

server = MCPServer("sap", version="1.0")
LIFE_SECONDS = 60
issued: dict[str, float] = {}

ORDERS = {
    "4500001": {"id": "4500001", "plant": "1010", "supplier": "Concrete & Co", "total": 18200.0, "status": "draft"},
    "4500002": {"id": "4500002", "plant": "1010", "supplier": "Cranes Inc", "total": 96000.0, "status": "released"},
    "4500003": {"id": "4500003", "plant": "2020", "supplier": "Steel AG", "total": 5400.0, "status": "draft"},
}


class Issued:
    """Takes the tokens that the endpoint below gave out, until they end."""

    def check(self, headers):
        token = headers.get("authorization", "").removeprefix("Bearer ")
        if issued.get(token, 0) < time.time():
            raise behind_gate.Refused("the access token is missing, unknown or expired")


@server.custom_route("/oauth/token", methods=["POST"])
async def token(request: Request) -> JSONResponse:
    form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
    given = (form.get("client_id", ""), form.get("client_secret", ""))
    if (header := request.headers.get("authorization", "")).startswith("Basic "):
        given = tuple(base64.b64decode(header[6:]).decode().split(":", 1))
    expected = (os.environ.get("SAP_CLIENT_ID", "portcullis"), os.environ.get("SAP_CLIENT_SECRET", "sap-secret"))
    if given != expected:
        return JSONResponse({"error": "invalid_client"}, status_code=401)
    if form.get("grant_type") != "client_credentials":
        return JSONResponse({"error": "unsupported_grant_type"}, status_code=400)
    value = secrets.token_urlsafe(32)
    issued[value] = time.time() + LIFE_SECONDS
    return JSONResponse({"access_token": value, "token_type": "bearer", "expires_in": LIFE_SECONDS})


@server.tool(annotations=READS)
def list_purchase_orders(plant: str | None = None) -> dict[str, Any]:
    """Purchase orders, of one plant or of all."""
    rows = [order for order in ORDERS.values() if plant in (None, order["plant"])]
    return {"orders": rows, "count": len(rows)}


@server.tool(annotations=READS)
def get_purchase_order(order_id: str, plant: str | None = None) -> dict[str, Any]:
    """One purchase order."""
    order = ORDERS.get(order_id)
    if order is None or plant not in (None, order["plant"]):
        raise ValueError(f"no purchase order {order_id}")
    return order


@server.tool(annotations=WRITES)
def create_purchase_order(plant: str, supplier: str, total: float) -> dict[str, Any]:
    """Drafts a purchase order."""
    order = {"id": f"45{len(ORDERS) + 1:05}", "plant": plant, "supplier": supplier, "total": total, "status": "draft"}
    ORDERS[order["id"]] = order
    return order


@server.tool(annotations=CHANGES)
def release_purchase_order(order_id: str) -> dict[str, Any]:
    """Releases a purchase order: from then on it binds the company."""
    order = ORDERS.get(order_id)
    if order is None:
        raise ValueError(f"no purchase order {order_id}")
    order["status"] = "released"
    return order


if __name__ == "__main__":
    behind_gate.Credential.from_environment = classmethod(lambda cls: Issued())
    behind_gate.serve(server, 9102)
