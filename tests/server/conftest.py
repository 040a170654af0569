"""What tests of servers take without asking."""

from tests.server.selling import admin, operator, selling

__all__ = ["admin", "operator", "selling"]
