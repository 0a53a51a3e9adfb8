"""A geographic information system in small: parcels and layers. `python gis.py`, port 9107."""

import json
from typing import Any

from mcp.server.mcpserver import MCPServer

from behind_gate import serve
from kinds import CHANGES, READS

server = MCPServer("gis", version="1.0")
PARCELS = [
    {"id": "44021A", "project": "bridge", "owner": "City of Ghent", "area_m2": 5120},
    {"id": "44021B", "project": "tower", "owner": "J. Peeters", "area_m2": 880},
]


@server.tool(annotations=READS)
def query_parcels(project: str | None = None) -> dict[str, Any]:
    """Parcels of a project."""
    return {"parcels": [parcel for parcel in PARCELS if project in (None, parcel["project"])]}


@server.tool(annotations=READS)
def list_layers() -> dict[str, Any]:
    """Map layers."""
    return {"layers": ["parcels", "utilities", "soil"]}


@server.tool(annotations=CHANGES)
def update_parcel(parcel_id: str, project: str, owner: str) -> dict[str, Any]:
    """Changes a parcel."""
    return {"id": parcel_id, "project": project, "owner": owner}


@server.resource("gis://layers/{name}", mime_type="application/geo+json")
def layer(name: str) -> str:
    """A layer."""
    return json.dumps({"type": "FeatureCollection", "name": name, "features": []})


if __name__ == "__main__":
    serve(server, 9107)
