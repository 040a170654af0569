"""Every carrier's stream, end to end: begun, spoken into, marked late, interrupted, a key pressed, and over."""

from __future__ import annotations

import asyncio
import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import Served
from tests.telephony.app import application, new_call, token_for
from tests.telephony.carrier import Phone, connected
from tests.telephony.wordings import Plivo, SignalWire, Telnyx, TelnyxAlaw, Twilio, Vonage
from voicewire.codecs.g711 import parse_alaw, parse_mulaw

TEXT = "It costs four dollars."
LONG = "One two three four five six seven eight nine ten. " * 6
SPOKEN = {"model": "espeak", "voice": "en-us"}


def heard(phone: Phone) -> NDArray[np.float64]:
    """Return what was heard, as the carrier decodes it."""
    parse = {"audio/x-mulaw": parse_mulaw, "PCMA": parse_alaw}.get(phone.words.encoding)
    samples = parse(bytes(phone.audio)) if parse else np.frombuffer(bytes(phone.audio), "<i2")
    return samples.astype(np.float64) / (1 << 15)


def assert_speech(sound: NDArray[np.float64]) -> None:
    """Neither silence nor noise: what is decoded as what it is not has no neighbours that are alike."""
    assert 0.01 < np.sqrt(np.mean(sound**2)) < 0.5
    assert np.corrcoef(sound[:-1], sound[1:])[0, 1] > 0.5
    assert np.abs(sound).max() < 1


async def a_whole_call(served: Served, words: type[Twilio]) -> None:
    call = new_call()
    late = itertools.cycle((0.0, 0.2, 0.05))
    token = await token_for(served, call)
    async with connected(served.url, call, token, late, words) as phone, application(served) as app:
        into = {"to": f"call:{call}", "marks": "word"}
        await app.say("speak", context="a", text=TEXT, **into, **SPOKEN)
        done = await app.until("done", context="a")
        assert phone.audio_ms == done["audio_ms"] == done["billed_ms"] > 800
        assert_speech(heard(phone))
        said = [each["heard"][1] for each in app.heard if each["type"] == "call"]
        assert len(said) == len(TEXT.split()) + 1  # each word's mark came back, and the last
        assert said[-1] == len(TEXT)
        await app.say("speak", context="b", text=LONG, **into, **SPOKEN)
        await app.until("call", event="heard", context="b")
        await phone.press("7")
        assert (await app.until("call", event="digit"))["digit"] == "7"
        await app.say("cancel", context="b")
        cut = await app.until("cancelled", context="b")
        await phone.cleared.wait()
        assert 0 < cut["heard"][1] == cut["unheard"][0] < cut["unheard"][1] == len(LONG)
        assert phone.most_ahead_s < 1.8
        await app.say("speak", context="c", text=LONG, **into)
        await app.until("call", event="heard", context="c")
        await phone.hang_up()
        await app.until("call", event="ended", call=call)
        assert (await app.until("cancelled", context="c"))["unheard"][1] == len(LONG)


async def test_a_whole_call_of_each_carrier(answering: Served) -> None:
    async with asyncio.TaskGroup() as calls:
        for words in (SignalWire, Telnyx, TelnyxAlaw, Plivo, Vonage):
            calls.create_task(a_whole_call(answering, words), name=words.__name__)


async def test_a_lost_connection_ends_a_call_of_each(answering: Served) -> None:
    async def lost(words: type[Twilio]) -> None:
        call = new_call()
        token = await token_for(answering, call)
        async with application(answering) as app:
            async with connected(answering.url, call, token, words=words) as phone:
                await app.say("speak", context="a", to=f"call:{call}", text=LONG)
                await phone.sounding.wait()
                phone.socket.transport.abort()
            await app.until("call", event="ended", call=call)
            cut = await app.until("cancelled", context="a")
            assert cut["unheard"][1] == len(LONG)
            assert cut["billed_ms"] <= phone.sent_ms + 1_000

    async with asyncio.TaskGroup() as calls:
        for words in (SignalWire, Telnyx, Plivo, Vonage):
            calls.create_task(lost(words), name=words.__name__)


@pytest.mark.parametrize("words", [SignalWire, Telnyx, TelnyxAlaw, Plivo, Vonage])
async def test_no_carriers_stream_begins_without_a_token_of_its_call(answering: Served, words: type[Twilio]) -> None:
    for token in ("", "0" * 64, await token_for(answering, new_call())):
        async with connected(answering.url, new_call(), token, words=words) as phone:
            await asyncio.wait_for(phone.socket.wait_closed(), 20)
            assert phone.socket.close_code == 4501
            assert not phone.said
