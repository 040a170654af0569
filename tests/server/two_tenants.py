"""Two tenants of one served server, each with a key for everything but what operators do."""

from __future__ import annotations

import contextlib
import io
from typing import NamedTuple

import httpx

from tests.conftest import Served
from voicewire.__main__ import main
from voicewire.auth.keys import key_id
from voicewire.auth.scopes import ALL_SCOPES

SCOPES = ",".join(sorted(ALL_SCOPES - {"admin"}))


class Tenant(NamedTuple):
    """A tenant and its key."""

    id: str
    key: str

    @property
    def key_id(self) -> str:
        return key_id(self.key)

    def client(self, served: Served) -> httpx.AsyncClient:
        return client(served, self.key)


def new_tenant(served: Served, id: str) -> Tenant:
    """Make a tenant as an operator would, beside the server."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        status = main(
            ["keys", "create", "--tenant", id, "--new-tenant", "--scopes", SCOPES, "--data", str(served.data_dir)], {}
        )
    assert status == 0
    return Tenant(id, out.getvalue().strip())


def client(served: Served, key: str) -> httpx.AsyncClient:
    """Return a client with a key, whom nothing shows to be at this machine."""
    headers = {"X-API-Key": key, "X-Forwarded-For": "192.0.2.1"}
    return httpx.AsyncClient(base_url=served.url, headers=headers, trust_env=False, timeout=30)
