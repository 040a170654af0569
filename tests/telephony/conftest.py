"""What tests of calls take without asking."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Served, started
from tests.server.two_tenants import Tenant, new_tenant
from tests.telephony.carrier import SECRET
from voicewire.server.telephony.accounts import FILE

ACCOUNTS = {f"t_calls_{name}": (f"AC{number:032d}", f"{name}-secret") for number, name in ((2, "mine"), (3, "theirs"))}
"""Tenants, and their accounts in the file: the name, and what the carrier signs with."""

VOICE = "low"


@pytest.fixture(scope="session")
def answering() -> Iterator[Served]:
    """A server with an account of its own at a carrier, and one of each of two tenants."""
    rows = [
        f'[[account]]\nid = "{id}"\nsecret = "{secret}"\ntenant = "{tenant}"\nvoice = "{VOICE}"\nmarks = "word"\n'
        for tenant, (id, secret) in ACCOUNTS.items()
    ]
    with started({"VOICEWIRE_TWILIO_AUTH_TOKEN": SECRET}, {FILE: "".join(rows)}) as served:
        yield served


@pytest.fixture(scope="session")
def tenants(answering: Served) -> list[Tenant]:
    """The two tenants, each with a key."""
    return [new_tenant(answering, id) for id in ACCOUNTS]
