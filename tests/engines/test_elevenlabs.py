"""The engine over ElevenLabs' stream with timestamps, against a server on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest

from tests.conftest import Served
from tests.contracts.engine_contract import EngineContract, named, speak
from tests.engines import upstream_protocols as protocols
from tests.engines.upstream_protocols import KEY, elevenlabs_lines
from tests.engines.upstream_server import Asked, Handler, UpstreamServer, said, serving
from voicewire.engines.base import Engine
from voicewire.engines.elevenlabs import open_engine
from voicewire.engines.upstream_engine import UpstreamEngine
from voicewire.errors import BadRequest, Busy, EngineFailed, VoicewireError
from voicewire.types import WordTimes


@pytest.fixture
def server() -> Iterator[UpstreamServer]:
    with serving(protocols.elevenlabs) as server:
        yield server


@pytest.fixture
def engine(server: UpstreamServer) -> Iterator[UpstreamEngine]:
    engine = open_engine(server.url, KEY, timeout_s=10)
    yield engine
    engine.close()


class TestElevenLabs(EngineContract):
    @pytest.fixture
    def engine(self, server: UpstreamServer) -> Iterator[Engine]:
        engine = open_engine(server.url, KEY, lanes=4)
        yield engine
        engine.close()

    def test_a_higher_speed_takes_less_time(self, engine: Engine) -> None:
        """Of the speeds that it has."""
        slow, fast = (len(speak(engine, self.sentence, speed=speed).pcm) for speed in (0.7, 1.2))
        assert slow > 1.5 * fast
        with pytest.raises(BadRequest):
            speak(engine, self.sentence, speed=1.5)


def test_words_are_where_the_upstream_says(engine: UpstreamEngine) -> None:
    text = "It's €4.50 — “really”, she said."
    spoken = speak(engine, text)
    expected = [word for chunk in said(text) for word in chunk.words]
    assert [word[:2] for word in spoken.words] == [word[:2] for word in expected]
    assert max(abs(a - b) for w, e in zip(spoken.words, expected, strict=True) for a, b in zip(w, e, strict=True)) <= 1
    assert engine.model.words is WordTimes.MEASURED


def test_the_voices_are_those_of_the_account(engine: UpstreamEngine) -> None:
    assert [(voice.id, voice.name, voice.language, voice.gender) for voice in engine.voices()] == [
        ("v1", "Rachel", "en-US", "female"),
        ("v2", "Adam", "en", "male"),
    ]


def test_language_and_seed_are_passed_on_to_models_that_take_them(server: UpstreamServer) -> None:
    engine = open_engine(server.url, KEY, voices="v1:Rachel")
    speak(engine, "Hallo.", language="de-DE")
    engine.close()
    other = open_engine(server.url, KEY, "eleven_multilingual_v2", "v1:Rachel")
    speak(other, "Hallo.", language="de-DE")
    other.close()
    first, second = server.asked
    assert (first.body["language_code"], first.body["model_id"]) == ("de", "eleven_flash_v2_5")
    assert "language_code" not in second.body


REFUSALS: list[tuple[int, str, type[VoicewireError], str]] = [
    (401, "quota_exceeded", EngineFailed, "engine_failed"),
    (404, "voice_not_found", BadRequest, "unknown_voice"),
    (400, "voice_not_found", BadRequest, "unknown_voice"),
    (429, "too_many_concurrent_requests", Busy, "busy"),
    (422, "", EngineFailed, "engine_failed"),
]


@pytest.mark.parametrize("field", ["status", "code"])
@pytest.mark.parametrize(("status", "said", "kind", "code"), REFUSALS)
def test_what_the_upstream_refuses_is_said_in_our_words(
    engine: UpstreamEngine,
    server: UpstreamServer,
    status: int,
    said: str,
    kind: type[VoicewireError],
    code: str,
    field: str,
) -> None:
    server.answer = lambda handler, _: handler.json({"detail": {field: said, "message": "no"}}, status)
    with pytest.raises(kind) as caught:
        speak(engine, "Hello.")
    assert caught.value.row_code == code


def test_a_validation_error_that_is_a_list_is_a_failure(engine: UpstreamEngine, server: UpstreamServer) -> None:
    server.answer = lambda handler, _: handler.json({"detail": [{"loc": ["body"], "msg": "no"}]}, 422)
    with pytest.raises(EngineFailed):
        speak(engine, "Hello.")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[]",
        b"{",
        b'{"audio_base64": "not base64!"}',
        '{"audio_base64": "AAAAé"}'.encode(),
        b'"' + b"x" * 100 + b'"',
    ],
)
def test_lines_that_cannot_be_read_are_failures(engine: UpstreamEngine, server: UpstreamServer, line: bytes) -> None:
    server.answer = lambda handler, _: handler.whole(line + b"\n", "application/json")
    with pytest.raises(EngineFailed):
        speak(engine, "Hello.")


def timed(begins_s: float, ends_s: float) -> dict[str, list[float] | list[str]]:
    return {
        "characters": ["H"],
        "character_start_times_seconds": [begins_s],
        "character_end_times_seconds": [ends_s],
    }


NO_TIMES: list[object] = [
    None, {}, {"characters": 3}, {"characters": ["H"]}, timed(1e308, 1e308), timed(10**400, 10**400),
    timed(float("nan"), float("inf")), timed(-1e308, 0.1),
]  # fmt: skip


@pytest.mark.parametrize("alignment", NO_TIMES)
def test_audio_without_times_is_heard_without_words(
    engine: UpstreamEngine, server: UpstreamServer, alignment: object
) -> None:
    def without(handler: Handler, _: Asked) -> None:
        with handler.streamed("application/json") as send:
            for line in elevenlabs_lines("Hello there."):
                send(json.dumps(line | {"alignment": alignment}).encode() + b"\n\n")

    server.answer = without
    spoken = speak(engine, "Hello there.")
    assert len(spoken.pcm) == sum(len(chunk.pcm) for chunk in said("Hello there."))
    assert spoken.words == ()


def test_times_that_count_from_each_line_are_understood(engine: UpstreamEngine, server: UpstreamServer) -> None:
    text = "One two three four five six seven eight nine ten."

    def relative(handler: Handler, _: Asked) -> None:
        passed_s = 0.0
        with handler.streamed("application/json") as send:
            for line in elevenlabs_lines(text):
                for name in ("character_start_times_seconds", "character_end_times_seconds"):
                    line["alignment"][name] = [second - passed_s for second in line["alignment"][name]]
                send(json.dumps(line).encode() + b"\n")
                passed_s += 0.4

    absolute = speak(engine, text).words
    server.answer = relative
    words = speak(engine, text).words
    assert named(text, words) == named(text, absolute)
    assert max(abs(a.begins - b.begins) for a, b in zip(words, absolute, strict=True)) <= 2


def test_another_voicewire_is_such_a_server(served: Served) -> None:
    """Its own door for ElevenLabs' clients is the peer, with times that nobody made for this engine."""
    engine = open_engine(served.url, served.key, "tone", "middle", timeout_s=60)
    text = "It costs $4.50, doesn't it? And more."
    spoken = speak(engine, text)
    engine.close()
    assert named(text, spoken.words) == ["It", "costs", "$4.50", "doesn't", "it", "And", "more"]
    for word in spoken.words:
        middle = spoken.pcm[(3 * word.begins + word.ends) // 4 : (word.begins + 3 * word.ends) // 4]
        assert np.abs(middle).max() > 5_000, "a word is where it is heard"
