"""Calls on a real server: an application speaks into them, and hears what was heard."""

from __future__ import annotations

import asyncio
import itertools

import httpx
import numpy as np
import pytest

from tests.conftest import Served
from tests.server.two_tenants import Tenant, new_tenant
from tests.telephony.app import application, new_call
from tests.telephony.carrier import WAIT_S, connected, token_of
from voicewire.codecs.g711 import parse_mulaw
from voicewire.server.telephony.call import NEXT_S
from voicewire.server.telephony.elsewhere import CALLS_MAX

TEXT = "It costs four dollars. Yes, it does."
SHORT = "It costs four dollars."
LONG = "One two three four five six seven eight nine ten. " * 6
AHEAD_S = 1.55  # one and a half, and the frame in hand, with a stall of the test's own


async def test_what_an_application_says_is_heard_in_the_call(answering: Served) -> None:
    call = new_call()
    token = await token_of(answering.url, call)
    async with connected(answering.url, call, token) as phone, application(answering) as app:
        await app.say("open", context="a", to=f"call:{call}", marks="word")
        for word in TEXT.split():
            await app.say("text", context="a", text=word + " ")
        await app.say("end", context="a")
        done = await app.until("done", context="a")
    heard = [each for each in app.heard if each["type"] == "call"]
    assert done["audio_ms"] == done["billed_ms"] == phone.audio_ms
    pcm = parse_mulaw(bytes(phone.audio)).astype(np.float32) / (1 << 15)
    assert 0.01 < np.sqrt(np.mean(pcm**2)) < 0.5
    starts = [word[2] for each in app.heard if each["type"] == "words" for word in each["words"]]
    assert [each["played_ms"] for each in heard] == sorted(each["played_ms"] for each in heard)
    assert len(heard) == len(starts) + 1 == len(TEXT.split()) + 1
    assert heard[-1]["heard"] == [0, len(TEXT) + 1]


async def test_one_after_the_other_and_little_ahead_though_marks_are_late(answering: Served) -> None:
    call = new_call()
    token = await token_of(answering.url, call)
    late = itertools.cycle((0.0, 0.3, 0.05, 0.6))
    async with connected(answering.url, call, token, late) as phone, application(answering) as app:
        for name in "ab":
            await app.say("speak", context=name, to=f"call:{call}", text=SHORT)
        audio_ms = sum([(await app.until("done", context=name))["audio_ms"] for name in "ab"])
    assert phone.audio_ms == audio_ms
    assert phone.most_ahead_s <= AHEAD_S
    assert "clear" not in phone.said


async def test_an_interruption_clears_and_says_what_was_heard(answering: Served) -> None:
    call = new_call()
    token = await token_of(answering.url, call)
    async with connected(answering.url, call, token) as phone, application(answering) as app:
        await app.say("speak", context="a", to=f"call:{call}", text=LONG, marks="word")
        await app.say("speak", context="b", to=f"call:{call}", text="Never.")
        while (await app.until("call", event="heard"))["heard"][1] < 14:
            pass
        await app.say("cancel", context="b")
        await app.say("cancel", context="a")
        cancelled = await app.until("cancelled", context="a")
        await phone.cleared.wait()
        played_ms = phone.audio_ms
        assert cancelled["heard"][1] == cancelled["unheard"][0]
        assert 14 <= cancelled["heard"][1] < cancelled["unheard"][1] == len(LONG)
        assert abs(cancelled["played_ms"] - played_ms) < 1_000
        assert cancelled["billed_ms"] <= cancelled["played_ms"] + 20
        before = len(phone.said)
        await app.say("speak", context="c", to=f"call:{call}", text="Yes.")  # marks that were cleared say nothing of it
        done = await app.until("done", context="c")
        assert phone.audio_ms - played_ms == done["audio_ms"]
        assert phone.said[before:].count("media") == done["audio_ms"] // 20
    assert [each["type"] for each in app.heard if each.get("context") == "b"][-1] == "cancelled"
    assert not [each for each in app.heard[app.heard.index(cancelled) + 1 :] if each.get("context") == "a"]


async def test_keys_are_passed_on_and_a_hang_up_ends_what_it_costs(answering: Served) -> None:
    call = new_call()
    token = await token_of(answering.url, call)
    async with connected(answering.url, call, token) as phone, application(answering) as app:
        await app.say("speak", context="a", to=f"call:{call}", text=LONG)
        await app.until("opened")
        await phone.press("7")
        assert (await app.until("call", event="digit"))["digit"] == "7"
        await phone.sounding.wait()
        await phone.hang_up()
        assert (await app.until("call", event="ended"))["call"] == call
        cancelled = await app.until("cancelled", context="a")
        assert cancelled["billed_ms"] <= cancelled["played_ms"] + 20
        assert cancelled["unheard"][1] == len(LONG)
        await app.say("speak", context="a", to=f"call:{call}", text=LONG)
        assert (await app.until("error", context="a"))["code"] == "unknown_call"


async def test_a_lost_connection_ends_a_call(answering: Served) -> None:
    call = new_call()
    token = await token_of(answering.url, call)
    async with application(answering) as app:
        async with connected(answering.url, call, token) as phone:
            await app.say("speak", context="a", to=f"call:{call}", text=LONG)
            await phone.sounding.wait()
            phone.socket.transport.abort()
        await app.until("call", event="ended")
        assert (await app.until("cancelled", context="a"))["unheard"][1] == len(LONG)


@pytest.fixture
def tenant(answering: Served) -> Tenant:
    """One that has used nothing yet."""
    return new_tenant(answering, "t_hung_up")


async def test_a_call_that_is_over_costs_what_was_sent_by_the_ledger(answering: Served, tenant: Tenant) -> None:
    call, billed_ms, sent_ms = new_call(), 0, 0.0
    async with tenant.client(answering) as http, application(answering, tenant.key) as app:
        for hangs_up in (True, False):
            token = (await http.post("/v1/calls", json={"call": call})).json()["token"]
            async with connected(answering.url, call, token) as phone:
                await app.say("speak", context="a", to=f"call:{call}", text=LONG)
                await app.say("speak", context="b", to=f"call:{call}", text=LONG)  # and is never begun
                while phone.sent_ms < 1_500:  # half a second of it was heard
                    await asyncio.sleep(0.02)
                if hangs_up:
                    await phone.hang_up()
                else:
                    phone.socket.transport.abort()
                await app.until("call", event="ended")
                for context in "ab":
                    billed_ms += (await app.until("cancelled", context=context))["billed_ms"]
            sent_ms += phone.sent_ms
        async with asyncio.timeout(WAIT_S):
            while (used := (await http.get("/v1/usage")).json()["total"])["audio_ms"] != billed_ms:
                assert used["audio_ms"] < billed_ms
                await asyncio.sleep(0.1)
    assert 0 < billed_ms <= sent_ms + 1_000


@pytest.mark.parametrize("hangs_up", [True, False])
async def test_what_was_never_begun_is_unheard_as_a_whole(answering: Served, hangs_up: bool) -> None:
    call = new_call()
    token = await token_of(answering.url, call)
    async with connected(answering.url, call, token) as phone, application(answering) as app:
        await app.say("speak", context="a", to=f"call:{call}", text=LONG)
        await app.say(
            "speak", context="b", to=f"call:{call}", text=SHORT + "\N{MUSICAL SYMBOL G CLEF}", offsets="utf16"
        )
        await app.say("open", context="c", to=f"call:{call}")
        for word in TEXT.split():
            await app.say("text", context="c", text=word)
        await app.say("open", context="d", to=f"call:{call}")
        await app.until("opened", context="d")  # all before it was read
        await phone.sounding.wait()
        if hangs_up:
            await phone.hang_up()
        else:
            for name in "bc":
                await app.say("cancel", context=name)
        for name, stop in (("b", len(SHORT) + 2), ("c", len(TEXT.replace(" ", "")))):
            cancelled = await app.until("cancelled", context=name)
            assert (cancelled["heard"], cancelled["unheard"], cancelled["billed_ms"]) == ([0, 0], [0, stop], 0)


async def test_a_revoked_key_says_no_more_in_a_call(answering: Served, tenants: list[Tenant]) -> None:
    tenant, call = tenants[0], new_call()
    async with tenant.client(answering) as http:
        made = (await http.post("/v1/keys", json={"scopes": ["speak"]})).json()
        token = (await http.post("/v1/calls", json={"call": call})).json()["token"]
        async with connected(answering.url, call, token) as phone, application(answering, made["key"]) as app:
            for name in "abc":
                await app.say("speak", context=name, to=f"call:{call}", text=LONG)
            await phone.sounding.wait()
            assert (await http.delete(f"/v1/keys/{made['id']}")).status_code == 204
            assert (await app.until("error"))["code"] == "unauthorized"
            await asyncio.wait_for(app.socket.wait_closed(), WAIT_S)
            await asyncio.wait_for(phone.cleared.wait(), WAIT_S)
            await asyncio.sleep(NEXT_S)  # nor is the next begun
            assert "media" not in phone.said[phone.said.index("clear") :]


async def test_a_session_that_is_lost_is_spoken_to_the_end(answering: Served) -> None:
    call = new_call()
    token = await token_of(answering.url, call)
    async with connected(answering.url, call, token) as phone, application(answering) as other:
        await other.say("speak", context="a", to=f"call:{call}", text="First.")
        await phone.sounding.wait()
        async with application(answering) as app:
            await app.say("speak", context="b", to=f"call:{call}", text=SHORT)
            await app.until("opened", context="b")
            app.socket.transport.abort()
        done = await other.until("done", context="a")
        await other.say("speak", context="c", to=f"call:{call}", text="Last.")
        last = await other.until("done", context="c")
        assert phone.audio_ms > done["audio_ms"] + last["audio_ms"]
        assert "clear" not in phone.said


@pytest.mark.parametrize("to", ["call:", "call:nobody's", "CA1", "mailto:x"])
async def test_what_is_no_call_is_said(answering: Served, to: str) -> None:
    async with application(answering) as app:
        await app.say("speak", context="a", to=to, text="Hello?")
        assert (await app.until("error", context="a"))["code"] == "unknown_call"
        await app.say("speak", context="a", text="")  # the name is free again
        await app.until("done", context="a")


async def test_who_asks_for_calls_that_are_none_may_go_on(answering: Served) -> None:
    async with application(answering) as app:
        for turn in range(2):
            for nth in range(CALLS_MAX):
                await app.say("speak", context=f"{nth}", to=f"call:nobody's {turn}.{nth}", text="Hello?")
            codes = [(await app.until("error"))["code"] for _ in range(CALLS_MAX)]
            assert codes == ["unknown_call"] * CALLS_MAX


async def test_a_token_wants_a_key_that_may_speak(answering: Served) -> None:
    async with httpx.AsyncClient(base_url=answering.url, headers={"X-Forwarded-For": "192.0.2.1"}) as http:
        assert (await http.post("/v1/calls", json={})).status_code == 401
