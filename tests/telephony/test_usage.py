"""What is spoken into calls is booked under the key that asks for it."""

from __future__ import annotations

import pytest

from tests.conftest import Served
from tests.server.two_tenants import Tenant, new_tenant
from tests.telephony.app import application, new_call, used_ms
from tests.telephony.carrier import connected


@pytest.fixture
def tenant(answering: Served) -> Tenant:
    """One that has used nothing yet."""
    return new_tenant(answering, "t_calls_usage")


async def test_what_an_application_says_in_a_call_is_its_keys(answering: Served, tenant: Tenant) -> None:
    call = new_call()
    async with tenant.client(answering) as http:
        other = Tenant(tenant.id, (await http.post("/v1/keys", json={"label": "other"})).json()["key"])
        token = (await http.post("/v1/calls", json={"call": call})).json()["token"]
    audio_ms = {}
    async with connected(answering.url, call, token):
        for each, text in ((tenant, "Yes."), (other, "No, not at all.")):
            async with application(answering, each.key) as app:
                await app.say("speak", context="a", to=f"call:{call}", text=text)
                audio_ms[each.key_id] = (await app.until("done", context="a"))["audio_ms"]
    assert await used_ms(answering, tenant.key, sum(audio_ms.values())) == audio_ms
