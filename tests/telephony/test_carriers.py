"""The tables of carriers: what each says, in its published words, and what it is told."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicewire.errors import BadRequest
from voicewire.frames import BINARY_OPCODE, FormatRequest
from voicewire.server.telephony.carriers import CARRIERS, Marked, Pressed, Started, Stopped, media_type
from voicewire.types import Codec

MULAW = FormatRequest(Codec.MULAW, 8_000)
AUDIO = b"\x00\x7f\xff" * 50
ENCODED = base64.b64encode(AUDIO).decode()

TWILIO = {
    "event": "start",
    "sequenceNumber": "1",
    "start": {
        "accountSid": "AC1",
        "streamSid": "MZ1",
        "callSid": "CA1",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"token": "t-1"},
    },
    "streamSid": "MZ1",
}
TELNYX = {
    "event": "start",
    "sequence_number": "1",
    "stream_id": "32DE-1",
    "start": {
        "call_control_id": "v3:abc_1",
        "user_id": "3E6F",
        "from": "+1",
        "to": "+2",
        "custom_parameters": [{"name": "token", "value": "t-1"}],
        "media_format": {"encoding": "PCMA", "sample_rate": 8000, "channels": 1},
    },
}
PLIVO = {
    "event": "start",
    "sequenceNumber": 0,
    "start": {
        "callId": "c-1",
        "streamId": "s-1",
        "accountId": "MA1",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-l16", "sampleRate": 16000},
    },
    "extra_headers": "{'token': 't-1'}",
}
VONAGE = {"event": "websocket:connected", "content-type": "audio/l16;rate=16000", "token": "t-1", "call": "c-1"}


@pytest.mark.parametrize(
    ("name", "message", "started"),
    [
        ("twilio", TWILIO, Started("CA1", "MZ1", "t-1", "AC1", MULAW)),
        ("signalwire", TWILIO, Started("CA1", "MZ1", "t-1", "AC1", MULAW)),
        ("telnyx", TELNYX, Started("v3:abc_1", "32DE-1", "t-1", "3E6F", MULAW)),
        ("plivo", PLIVO, Started("c-1", "s-1", "t-1", "MA1", FormatRequest(Codec.PCM_S16LE, 16_000))),
        ("vonage", VONAGE, Started("c-1", "", "t-1", "", FormatRequest(Codec.PCM_S16LE, 16_000))),
    ],
)
def test_a_start_is_understood(name: str, message: dict[str, Any], started: Started) -> None:
    assert CARRIERS[name].hear(json.dumps(message)) == started


@pytest.mark.parametrize(
    ("custom", "codec"),
    [
        ({}, Codec.MULAW),  # its own default, whatever the caller's network speaks
        ({"codec": "PCMU"}, Codec.MULAW),
        ({"codec": "pcma"}, Codec.ALAW),
        ([{"name": "codec", "value": "PCMA"}], Codec.ALAW),
        ("codec=PCMA", Codec.MULAW),  # no parameters
    ],
)
@pytest.mark.parametrize("leg", ["PCMU", "PCMA", "G722", "AMR-WB"])
def test_what_telnyx_takes_is_not_what_the_caller_speaks(custom: object, codec: Codec, leg: str) -> None:
    media_format = {"encoding": leg, "sample_rate": 16000, "channels": 1}
    begun = {"call_control_id": "v3:1", "custom_parameters": custom, "media_format": media_format}
    started = CARRIERS["telnyx"].hear(json.dumps({"event": "start", "stream_id": "s", "start": begun}))
    assert isinstance(started, Started)
    assert started.format == FormatRequest(codec, 8_000)


@pytest.mark.parametrize("codec", ["L16", "G722", "OPUS", "x", 7])
def test_what_we_do_not_have_for_telnyx_is_said(codec: object) -> None:
    begun = {"call_control_id": "v3:1", "custom_parameters": {"codec": codec}}
    with pytest.raises(BadRequest, match="no audio"):
        CARRIERS["telnyx"].hear(json.dumps({"event": "start", "start": begun}))


@pytest.mark.parametrize(
    ("name", "message", "event"),
    [
        ("twilio", {"event": "mark", "streamSid": "MZ1", "mark": {"name": "m1"}}, Marked("m1")),
        ("twilio", {"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": "#"}}, Pressed("#")),
        ("twilio", {"event": "stop", "stop": {"callSid": "CA1"}}, Stopped()),
        ("twilio", {"event": "media", "media": {"payload": ENCODED}}, None),
        ("twilio", {"event": "connected", "protocol": "Call"}, None),
        ("telnyx", {"event": "mark", "mark": {"name": "m1"}, "stream_id": "s"}, Marked("m1")),
        ("telnyx", {"event": "dtmf", "dtmf": {"digit": "1"}}, Pressed("1")),
        ("plivo", {"event": "playedStream", "streamId": "s", "name": "m1"}, Marked("m1")),
        ("plivo", {"event": "clearedAudio", "streamId": "s"}, None),
        ("vonage", {"event": "websocket:notify", "payload": {"name": "m1"}}, Marked("m1")),
        ("vonage", {"event": "websocket:dtmf", "digit": "5", "duration": 260}, Pressed("5")),
        ("vonage", {"event": "websocket:cleared"}, None),
    ],
)
def test_what_happens_is_understood(name: str, message: dict[str, Any], event: object) -> None:
    assert CARRIERS[name].hear(json.dumps(message)) == event


TOLD: dict[str, list[object]] = {
    "twilio": [
        {"event": "media", "streamSid": "s", "media": {"payload": ENCODED}},
        {"event": "mark", "streamSid": "s", "mark": {"name": "m1"}},
        {"event": "clear", "streamSid": "s"},
    ],
    "telnyx": [
        {"event": "media", "media": {"payload": ENCODED}},
        {"event": "mark", "mark": {"name": "m1"}},
        {"event": "clear"},
    ],
    "plivo": [
        {
            "event": "playAudio",
            "media": {"contentType": "audio/x-mulaw", "sampleRate": 8000, "payload": ENCODED},
            "streamId": "s",
        },
        {"event": "checkpoint", "streamId": "s", "name": "m1"},
        {"event": "clearAudio", "streamId": "s"},
    ],
    "vonage": [None, {"action": "notify", "payload": {"name": "m1"}}, {"action": "clear"}],
}


@pytest.mark.parametrize("name", sorted(CARRIERS))
def test_each_is_told_in_its_own_words(name: str) -> None:
    carrier = CARRIERS[name]
    media = carrier.media("s", AUDIO, media_type(MULAW))
    told = [media, carrier.mark("s", "m1"), carrier.clear("s")]
    expected = TOLD.get(name, TOLD["twilio"])
    for (opcode, payload), words in zip(told, expected, strict=True):
        if words is None:
            assert (opcode, payload) == (BINARY_OPCODE, AUDIO)
        else:
            assert json.loads(payload) == words


@pytest.mark.parametrize("call", ['x","y":"', "a b", "é", "x" * 129, 7, None])
def test_a_name_that_cannot_be_written_into_messages_is_none(call: object) -> None:
    start = {"callSid": call, "streamSid": call, "customParameters": {"token": "t"}}
    assert CARRIERS["twilio"].hear(json.dumps({"event": "start", "start": start})) == Started("", "", "t")


fields = st.sampled_from(
    ["event", "start", "mark", "dtmf", "stop", "name", "digit", "token", "callSid", "call_control_id", "streamSid",
     "customParameters", "custom_parameters", "extra_headers", "mediaFormat", "media_format", "encoding", "sampleRate",
     "sample_rate", "payload", "content-type", "call"]
)  # fmt: skip
anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(fields, inner, max_size=6),
    max_leaves=8,
)
events = st.sampled_from(["start", "mark", "dtmf", "stop", "media", "playedStream", "websocket:connected",
                          "websocket:notify", "websocket:dtmf"])  # fmt: skip


@given(st.dictionaries(fields, anything), events, st.sampled_from(sorted(CARRIERS)))
def test_whatever_is_said_is_understood_or_refused(said: dict[str, Any], event: str, name: str) -> None:
    try:
        heard = CARRIERS[name].hear(json.dumps({**said, "event": event}))
    except BadRequest:
        return
    assert heard is None or isinstance(heard, Started | Marked | Pressed | Stopped)
    if isinstance(heard, Started):
        assert heard.format.grant().rate_hz >= 8_000


@given(st.binary(max_size=40) | st.text(max_size=40), st.sampled_from(sorted(CARRIERS)))
def test_whatever_is_no_message_is_refused(data: bytes | str, name: str) -> None:
    with contextlib.suppress(BadRequest):
        assert CARRIERS[name].hear(data) is None
