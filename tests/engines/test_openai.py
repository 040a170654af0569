"""The engine over `POST /v1/audio/speech`, against a server on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np
import pytest

from tests.conftest import Served
from tests.contracts.engine_contract import EngineContract, speak
from tests.engines import upstream_protocols as protocols
from tests.engines.upstream_protocols import KEY
from tests.engines.upstream_server import Asked, BreakOff, Handler, UpstreamServer, said, serving
from voicewire.engines.base import Engine, WaitingEngine
from voicewire.engines.openai import open_engine
from voicewire.engines.upstream_engine import UpstreamEngine
from voicewire.errors import BadRequest, Busy, EngineFailed, VoicewireError
from voicewire.types import WordTimes


@pytest.fixture
def server() -> Iterator[UpstreamServer]:
    with serving(protocols.openai) as server:
        yield server


@pytest.fixture
def engine(server: UpstreamServer) -> Iterator[UpstreamEngine]:
    engine = open_engine(f"{server.url}/v1", KEY, voices="alloy,nova:Nova:en-GB:female", timeout_s=10)
    yield engine
    engine.close()


class TestOpenAi(EngineContract):
    @pytest.fixture
    def engine(self, server: UpstreamServer) -> Iterator[Engine]:
        engine = open_engine(f"{server.url}/v1", KEY, voices="alloy,nova:Nova:en-GB:female", lanes=4)
        yield engine
        engine.close()


def test_it_says_that_it_knows_no_word_times_and_that_it_waits(engine: UpstreamEngine) -> None:
    assert isinstance(engine, WaitingEngine)
    assert engine.model.words is WordTimes.NONE
    assert speak(engine, "Two words.").words == ()


def test_the_audio_is_what_was_sent_and_the_request_what_is_published(
    engine: UpstreamEngine, server: UpstreamServer
) -> None:
    text = "It costs “four” dollars."
    spoken = speak(engine, text, "nova", speed=1.25)
    assert spoken.pcm.tobytes() == b"".join(chunk.pcm.tobytes() for chunk in said(text, 1.25))
    [asked] = server.asked
    assert asked.body == {
        "model": "tts-1",
        "input": text,
        "voice": "nova",
        "response_format": "pcm",
        "speed": 1.25,
    }


def test_voices_are_those_that_were_configured(engine: UpstreamEngine, server: UpstreamServer) -> None:
    first, second = engine.voices()
    assert (first.id, first.name, first.language, first.gender) == ("alloy", "Alloy", "en-US", "")
    assert (second.id, second.name, second.language, second.gender) == ("nova", "Nova", "en-GB", "female")
    assert not server.asked, "nothing is asked that nobody wants to know"


def test_without_configured_voices_the_server_is_asked(server: UpstreamServer) -> None:
    engine = open_engine(f"{server.url}/v1", KEY)
    assert [(voice.id, voice.name) for voice in engine.voices()] == [
        ("af_sky", "Sky"),
        ("am_adam", "Am adam"),
        ("other", "other"),
    ]
    engine.close()


def test_a_server_that_lists_no_voices_has_the_documented_ones(server: UpstreamServer) -> None:
    server.answer = lambda handler, _: handler.json({"error": {"message": "Not found"}}, 404)
    engine = open_engine(f"{server.url}/v1", KEY)
    assert len(engine.voices()) == 13
    assert engine.model.default_voice == "alloy"
    engine.close()


def test_a_wrong_key_or_an_absent_server_stops_the_start(server: UpstreamServer) -> None:
    with pytest.raises(EngineFailed) as caught:
        open_engine(f"{server.url}/v1", "wrong-key-5")
    assert "401" in str(caught.value.fields["problem"])
    with pytest.raises(EngineFailed) as caught:
        open_engine("http://127.0.0.1:1/v1", KEY)
    assert "ConnectError" in str(caught.value.fields["problem"])
    with pytest.raises(ValueError, match="id:name"):
        open_engine(f"{server.url}/v1", KEY, voices="a:b:c:robot")


REFUSALS = [
    (401, {"code": "invalid_api_key"}, {}, EngineFailed, "engine_failed"),
    (400, {"param": "voice", "code": None}, {}, BadRequest, "unknown_voice"),
    (404, {"code": "voice_not_found"}, {}, BadRequest, "unknown_voice"),
    (404, {"code": "model_not_found"}, {}, EngineFailed, "engine_failed"),
    (429, {"code": "rate_limit_exceeded"}, {"Retry-After": "3"}, Busy, "busy"),
    (503, {"code": "overloaded"}, {}, Busy, "busy"),
    (500, {"code": "a secret text that somebody said"}, {}, EngineFailed, "engine_failed"),
]


@pytest.mark.parametrize(("status", "error", "headers", "kind", "code"), REFUSALS)
def test_what_the_upstream_refuses_is_said_in_our_words(
    engine: UpstreamEngine,
    server: UpstreamServer,
    status: int,
    error: dict[str, str],
    headers: dict[str, str],
    kind: type[VoicewireError],
    code: str,
) -> None:
    server.answer = lambda handler, _: handler.json({"error": {"message": "no", **error}}, status, headers)
    with pytest.raises(kind) as caught:
        speak(engine, "Hello.")
    assert caught.value.row_code == code
    assert "secret text" not in repr(caught.value.fields)
    assert caught.value.retry_after_ms == {429: 3_000, 503: 1_000}.get(status)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b'{"error": {"message": "no"}}'),
        ("text/html; charset=utf-8", b"<html>a proxy's page</html>"),
        ("audio/pcm", b"RIFF\x24\x00\x00\x00WAVEfmt "),
        ("audio/mpeg", b"\xff\xfb\x90\x00" * 100),
        ("audio/pcm", b""),
    ],
)
def test_what_is_not_plain_audio_is_never_heard(
    engine: UpstreamEngine, server: UpstreamServer, kind: str, body: bytes
) -> None:
    server.answer = lambda handler, _: handler.whole(body, kind)
    with pytest.raises(EngineFailed):
        speak(engine, "Hello.")


def test_an_answer_that_breaks_off_is_a_failure_and_not_a_short_text(
    engine: UpstreamEngine, server: UpstreamServer
) -> None:
    def break_off(handler: Handler, _: Asked) -> None:
        with handler.streamed("audio/pcm") as send:
            send(bytes(9_600))
            raise BreakOff

    server.answer = break_off
    with pytest.raises(EngineFailed):
        speak(engine, "Hello.")


def test_a_kept_connection_that_was_closed_meanwhile_is_no_failure(
    engine: UpstreamEngine, server: UpstreamServer
) -> None:
    speak(engine, "One.")
    answers = count()

    def hang_up_once(handler: Handler, asked: Asked) -> None:
        if next(answers) == 0:
            raise BreakOff
        protocols.openai(handler, asked)

    server.answer = hang_up_once
    assert len(speak(engine, "Two.").pcm) > 0
    assert len(server.asked) == 3


def test_another_voicewire_is_such_a_server(served: Served) -> None:
    """Its own door for OpenAI's clients is the peer: nobody made it for this engine."""
    text = "One server speaks through another."
    engine = open_engine(f"{served.url}/v1", served.key, "tone", timeout_s=60)
    assert {voice.id for voice in engine.voices()} == {"low", "middle", "high"}, "and no voice of its other models"
    plain, fast = speak(engine, text, "middle"), speak(engine, text, "high", speed=2.0)
    engine.close()
    assert 1.5 * len(fast.pcm) < len(plain.pcm) < 10 * engine.model.rate_hz
    assert np.abs(plain.pcm).max() > 5_000
    engine = open_engine(f"{served.url}/v1", served.key, "espeak", timeout_s=60)
    assert len(speak(engine, text, engine.model.default_voice).pcm) > engine.model.rate_hz
    engine.close()
    engine = open_engine(f"{served.url}/v1", served.key, "tone", "nobody", timeout_s=60)
    with pytest.raises(BadRequest) as caught:
        speak(engine, text)
    engine.close()
    assert caught.value.row_code == "unknown_voice"
