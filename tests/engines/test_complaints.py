"""What the log has of an upstream that fails: its code, once, in our words, and no traceback of ours."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest

from tests.engines import upstream_protocols as protocols
from tests.engines.pooled import Listener, job, new_pool
from tests.engines.upstream_protocols import KEY
from tests.engines.upstream_server import Answering, Handler, UpstreamServer, serving
from voicewire.engines.complaints import AGAIN_S, KINDS_MAX, Complaints
from voicewire.engines.openai import open_engine
from voicewire.errors import Busy, EngineFailed, Unstaffed

ENGINE = "voicewire.engines.openai:open_engine"
SECRET = "something that somebody said"
PAGE = f"<html>{SECRET}</html>".encode()


@pytest.fixture
def server() -> Iterator[UpstreamServer]:
    with serving(protocols.openai) as server:
        yield server


@pytest.fixture(autouse=True)
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


def refuse(status: int, code: str) -> Answering:
    return lambda handler, _: handler.json({"error": {"message": SECRET, "code": code}}, status)


def page(status: int) -> Answering:
    return lambda handler, _: handler.whole(PAGE, "text/html; charset=utf-8", status)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (refuse(401, "invalid_api_key"), "HTTP 401 invalid_api_key: it refuses the key"),
        (refuse(403, "x" * 100), "HTTP 403: it refuses the key"),
        (refuse(429, "rate_limit_exceeded"), "HTTP 429 rate_limit_exceeded"),
        (refuse(503, SECRET), "HTTP 503"),
        (page(502), "HTTP 502"),
        (page(200), "text/html instead of plain PCM"),
        (lambda handler, _: handler.whole(b"RIFF" + bytes(3_000), "audio/pcm"), "a WAV file instead of plain PCM"),
    ],
    ids=["401", "403", "429", "503", "page-502", "page-200", "wav"],
)
async def test_the_log_has_the_code_of_a_provider_once_and_none_of_its_prose(
    server: UpstreamServer, caplog: pytest.LogCaptureFixture, answer: Answering, said: str
) -> None:
    server.answer = answer
    pool = new_pool({"url": f"{server.url}/v1", "key": KEY, "voices": "middle"}, factory=ENGINE)
    await pool.start()
    for _ in range(3):
        listener = Listener()
        pool.submit(job("Hello there."), time.monotonic(), listener)
        await listener.ended.wait()
    await pool.close()
    [line] = [record.getMessage() for record in caplog.records if "openai" in record.getMessage()]
    assert line.endswith(said)
    assert not any(word in caplog.text for word in (SECRET, KEY, "Hello"))


def test_a_complaint_is_repeated_now_and_then_with_its_number(caplog: pytest.LogCaptureFixture) -> None:
    complaints = Complaints()
    error = EngineFailed(problem="it is away")
    for now in (0.0, 1.0, 2.0, AGAIN_S + 1, AGAIN_S + 2):
        complaints.hear("m", error, now)
    complaints.hear("m", Busy(problem="it has much to do"), 3.0)
    complaints.hear("m", Busy(), 4.0)
    complaints.hear("m", Unstaffed("draining"), 4.0)
    assert [record.getMessage() for record in caplog.records] == [
        "m failed: it is away",
        "m failed: it is away (2 times more since then)",
        "m failed: it has much to do",
    ]
    for nth in range(2 * KINDS_MAX):
        complaints.hear("m", EngineFailed(problem=f"number {nth}"), 5.0)
    assert len(caplog.records) <= KINDS_MAX + 1


async def fails_to_start(options: dict[str, str | int | float | bool]) -> str:
    pool = new_pool(options, 2, factory=ENGINE)
    with pytest.raises(EngineFailed) as caught:
        await pool.start()
    return str(caught.value.fields["problem"])


async def test_an_upstream_that_is_away_at_the_start_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    problem = await fails_to_start({"url": "http://127.0.0.1:1/v1", "key": KEY})
    assert problem == "the upstream cannot be reached: ConnectError"
    assert not caplog.records, "who starts it says it"


async def test_voices_that_cannot_be_read_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    problem = await fails_to_start({"key": KEY, "voices": "a:b:c:robot"})
    assert problem == "a voice is id:name:language:gender, with a gender of female or male, not 'a:b:c:robot'"
    assert not caplog.records


def test_of_voices_that_have_a_model_those_of_ours_are_taken(server: UpstreamServer) -> None:
    def listed(handler: Handler, _: object) -> None:
        of = [("tone", "middle"), ("espeak", "de"), ("espeak", "en-us"), ("espeak", "fr")]
        handler.json({"voices": [{"id": id, "name": id, "model": model, "language": "de-DE"} for model, id in of]})

    server.answer = listed
    chosen = {}
    for model in ("espeak", "tts-1"):
        engine = open_engine(f"{server.url}/v1", KEY, model)
        chosen[model] = [voice.id for voice in engine.voices()], engine.model.default_voice
        engine.close()
    assert chosen == {
        "espeak": (["de", "en-us", "fr"], "de"),
        "tts-1": (["middle", "de", "en-us", "fr"], "middle"),
    }
