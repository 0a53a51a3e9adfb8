"""NetSuite's AI connector in small: saved lists, SuiteQL, records. `python netsuite.py`, port 9101."""

from typing import Any, Literal

from mcp.server.mcpserver import MCPServer

from behind_gate import serve
from kinds import CHANGES, READS, WRITES

server = MCPServer("netsuite", version="2026.2")
Region = Literal["EMEA", "AMER", "APAC"]

INVOICES = [
    {"id": "INV-1001", "customer": "Fabrikam", "region": "EMEA", "status": "open", "amount": 12500.0, "margin": 0.31},
    {"id": "INV-1002", "customer": "Contoso", "region": "AMER", "status": "paid", "amount": 830.0, "margin": 0.12},
    {"id": "INV-1003", "customer": "Northwind", "region": "EMEA", "status": "paid", "amount": 4200.5, "margin": 0.27},
    {"id": "INV-1004", "customer": "Adatum", "region": "APAC", "status": "open", "amount": 9900.0, "margin": 0.22},
]
VENDORS = [{"id": "V-7", "name": "Concrete & Co", "region": "EMEA"}, {"id": "V-9", "name": "Cranes Inc", "region": "AMER"}]


@server.tool(annotations=READS)
def list_all_netsuite_invoices(region: Region | None = None, status: Literal["open", "paid"] | None = None) -> dict[str, Any]:
    """Invoices, newest first."""
    rows = [row for row in INVOICES if region in (None, row["region"]) and status in (None, row["status"])]
    return {"rows": rows, "count": len(rows)}


@server.tool(annotations=READS)
def get_netsuite_invoice(invoice_id: str, region: Region | None = None) -> dict[str, Any]:
    """One invoice."""
    for row in INVOICES:
        if row["id"] == invoice_id and region in (None, row["region"]):
            return row
    raise ValueError(f"no invoice {invoice_id}")


@server.tool(annotations=READS)
def list_all_netsuite_vendors() -> dict[str, Any]:
    """Vendors."""
    return {"rows": VENDORS, "count": len(VENDORS)}


@server.tool()
def run_suiteql(query: str) -> dict[str, Any]:
    """Runs a SuiteQL query. It reads whatever the role behind the token reads."""
    return {"query": query, "rows": INVOICES if "transaction" in query.lower() else []}


@server.tool(annotations=WRITES)
def create_netsuite_record(record_type: str, fields: dict[str, Any], region: Region | None = None) -> dict[str, Any]:
    """Creates a record."""
    return {"id": f"{record_type.upper()}-2001", "type": record_type, "region": region, "fields": fields}


@server.tool(annotations=CHANGES)
def update_netsuite_record(record_type: str, record_id: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Changes a record."""
    return {"id": record_id, "type": record_type, "fields": fields}


@server.tool(annotations=CHANGES)
def delete_netsuite_record(record_type: str, record_id: str) -> dict[str, Any]:
    """Deletes a record."""
    return {"id": record_id, "deleted": True}


@server.resource("netsuite://schema/invoice", mime_type="application/json")
def invoice_schema() -> str:
    """The fields of an invoice."""
    return '{"fields": ["id", "customer", "region", "status", "amount", "margin"]}'


@server.prompt()
def overdue_letter(customer: str) -> str:
    """A reminder to a customer."""
    return f"Write a friendly reminder to {customer} about their open invoices."


if __name__ == "__main__":
    serve(server, 9101)
