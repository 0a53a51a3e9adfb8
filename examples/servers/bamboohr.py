"""BambooHR in small: employees, with what they earn. `python bamboohr.py`, port 9105."""

from typing import Any

from mcp.server.mcpserver import MCPServer

from behind_gate import serve
from kinds import CHANGES, READS

server = MCPServer("bamboohr", version="1.0")
EMPLOYEES = [
    {"id": "17", "name": "Noor", "title": "Project manager", "salary": 91000, "home_address": "Quay 4, Ghent"},
    {"id": "18", "name": "Ben", "title": "Crane operator", "salary": 58000, "home_address": "Mill Lane 9, Ghent"},
]


@server.tool(annotations=READS)
def list_employees() -> dict[str, Any]:
    """Employees."""
    return {"employees": EMPLOYEES}


@server.tool(annotations=READS)
def get_employee(employee_id: str) -> dict[str, Any]:
    """One employee."""
    for employee in EMPLOYEES:
        if employee["id"] == employee_id:
            return employee
    raise ValueError(f"no employee {employee_id}")


@server.tool(annotations=CHANGES)
def update_salary(employee_id: str, salary: int) -> dict[str, Any]:
    """Changes what an employee earns."""
    return {"id": employee_id, "salary": salary}


if __name__ == "__main__":
    serve(server, 9105)
