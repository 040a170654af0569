"""The engine over MiniMax T2A v2, against a server on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contracts.engine_contract import EngineContract, speak
from tests.engines import upstream_protocols as protocols
from tests.engines.upstream_protocols import KEY, minimax_event
from tests.engines.upstream_server import Asked, Handler, UpstreamServer, said, serving
from voicewire.engines.base import Engine
from voicewire.engines.minimax import open_engine
from voicewire.engines.upstream_engine import UpstreamEngine
from voicewire.errors import BadRequest, Busy, EngineFailed, VoicewireError
from voicewire.types import WordTimes

EVENTS = "text/event-stream; charset=utf-8"


@pytest.fixture
def server() -> Iterator[UpstreamServer]:
    with serving(protocols.minimax) as server:
        yield server


@pytest.fixture
def engine(server: UpstreamServer) -> Iterator[UpstreamEngine]:
    engine = open_engine(f"{server.url}/v1", KEY, timeout_s=10)
    yield engine
    engine.close()


class TestMiniMax(EngineContract):
    @pytest.fixture
    def engine(self, server: UpstreamServer) -> Iterator[Engine]:
        engine = open_engine(f"{server.url}/v1", KEY, lanes=4)
        yield engine
        engine.close()


def test_its_voices_have_friendly_names(engine: UpstreamEngine) -> None:
    known = {voice.name: (voice.id, voice.language, voice.gender) for voice in engine.voices()}
    assert known["american-male"] == ("male-qn-qingse", "en-US", "male")
    assert known["british-female"] == ("female-shaonv", "en-GB", "female")
    assert known["nigerian-male"] == ("moss_audio_141d8c4c-a6f8-11f0-84c1-0ec6fa858d82", "en-NG", "male")
    assert engine.model.words is WordTimes.NONE


def test_without_a_key_it_does_not_start() -> None:
    with pytest.raises(ValueError, match="key"):
        open_engine(key="")


def test_the_request_is_what_is_published(server: UpstreamServer) -> None:
    engine = open_engine(f"{server.url}/v1", KEY, "group-7", "speech-02-hd")
    text = "Wait <#60#> what?"
    spoken = speak(engine, text, "female-shaonv", language="de-AT", speed=1.25)
    engine.close()
    [asked] = server.asked
    assert asked.query == {"GroupId": "group-7"}
    assert asked.body["voice_setting"] == {"voice_id": "female-shaonv", "speed": 1.25, "vol": 1.0, "pitch": 0}
    assert (asked.body["model"], asked.body["language_boost"]) == ("speech-02-hd", "German")
    assert asked.body["text"] == "Wait   what?", "nobody orders a minute of silence by text"
    assert spoken.pcm.tobytes() == b"".join(chunk.pcm.tobytes() for chunk in said("Wait   what?", 1.25))


@pytest.mark.parametrize("excluded", [True, False])
def test_the_last_event_is_not_heard_twice(engine: UpstreamEngine, server: UpstreamServer, excluded: bool) -> None:
    audio = b"".join(chunk.pcm.tobytes() for chunk in said("Hello there."))

    def with_all_at_the_end(handler: Handler, _: Asked) -> None:
        with handler.streamed(EVENTS) as send:
            send(minimax_event(audio[:1_001], 1) + b": a comment\r\n\r\n")
            send(minimax_event(audio[1_001:], 1).rstrip(b"\n") + b"\r\n")
            send(minimax_event(b"" if excluded else audio, 2))

    server.answer = with_all_at_the_end
    assert speak(engine, "Hello there.").pcm.tobytes() == audio


def test_a_text_that_comes_whole_is_heard(engine: UpstreamEngine, server: UpstreamServer) -> None:
    def at_once(handler: Handler, _: Asked) -> None:
        with handler.streamed(EVENTS) as send:
            send(minimax_event(bytes(4_800), 2).rstrip())

    server.answer = at_once
    assert len(speak(engine, "Hi.").pcm) == 2_400


CODES: list[tuple[int, type[VoicewireError], str]] = [
    (1000, EngineFailed, "engine_failed"),
    (1001, EngineFailed, "engine_failed"),
    (1002, Busy, "busy"),
    (1004, EngineFailed, "engine_failed"),
    (1008, EngineFailed, "engine_failed"),
    (1026, BadRequest, "bad_message"),
    (1027, BadRequest, "bad_message"),
    (1039, Busy, "busy"),
    (1042, BadRequest, "bad_message"),
    (2013, EngineFailed, "engine_failed"),
    (2054, BadRequest, "unknown_voice"),
    (2061, EngineFailed, "engine_failed"),
    (9999, EngineFailed, "engine_failed"),
]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(("number", "kind", "code"), CODES)
def test_codes_are_said_in_our_words(
    engine: UpstreamEngine, server: UpstreamServer, number: int, kind: type[VoicewireError], code: str, late: bool
) -> None:
    def refuse(handler: Handler, _: Asked) -> None:
        if not late:
            handler.json({"base_resp": {"status_code": number, "status_msg": "what it says may be the text"}})
            return
        with handler.streamed(EVENTS) as send:
            send(minimax_event(bytes(4_800), 1))
            send(minimax_event(b"", 1, number))

    server.answer = refuse
    with pytest.raises(kind) as caught:
        speak(engine, "Hello.")
    assert caught.value.row_code == code
    assert "what it says" not in repr(caught.value.fields)


@pytest.mark.parametrize(
    "events",
    [
        minimax_event(bytes(4_800), 1),
        b"data: {]\n\n",
        b'data: {"data": {"audio": "zz", "status": 1}}\n\n',
        b"data: 7\n\n",
        b'data: {"base_resp": {"status_code": []}}\n\n',
        b"",
    ],
)
def test_what_breaks_off_or_cannot_be_read_is_a_failure(
    engine: UpstreamEngine, server: UpstreamServer, events: bytes
) -> None:
    server.answer = lambda handler, _: handler.whole(events, EVENTS)
    with pytest.raises(EngineFailed):
        speak(engine, "Hello.")
