"""`POST /v1/tts` on a real server: what comes back is speech, in every kind of file, as long as it says."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator

import av
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import Served
from voicewire.codecs.base import FILES, FileKind

TEXT = "It costs $4.50, doesn't it? Yes. It does, indeed."
WAIT_S = 30


@pytest.fixture
async def http(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {served.key}"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=WAIT_S) as client:
        yield client


def decode(data: bytes) -> tuple[NDArray[np.float32], int]:
    """Return the samples, full scale being 1, and their rate in Hz."""
    resampler = av.AudioResampler("flt", "mono")
    with av.open(io.BytesIO(data), "r") as container:
        stream = container.streams.audio[0]
        frames = [frame for raw in container.decode(stream) for frame in resampler.resample(raw)]
    return np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames]).astype(np.float32), stream.rate or 0


@pytest.mark.parametrize("kind", [FileKind.WAV, FileKind.FLAC, FileKind.MP3, FileKind.OPUS])
async def test_a_file_of_every_kind_is_speech(http: httpx.AsyncClient, kind: FileKind) -> None:
    body = {"text": TEXT, "model": "espeak", "format": kind}
    answer = await http.post("/v1/tts", params={"timestamps": "true"}, json=body)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == FILES[kind].media_type
    samples, rate_hz = decode(answer.content)
    spoken = (await http.get(answer.headers["words-location"])).json()
    slack = 2_400 / rate_hz if kind is FileKind.MP3 else 0.001
    assert len(samples) / rate_hz == pytest.approx(spoken["audio_ms"] / 1000, abs=slack)
    assert 0.02 < np.sqrt(np.mean(samples**2)) < 0.5
    assert np.abs(samples).max() <= 1.0


async def test_bare_samples_say_their_rate(http: httpx.AsyncClient) -> None:
    for kind, bytes_each in ((FileKind.PCM, 2), (FileKind.MULAW, 1), (FileKind.ALAW, 1)):
        answer = await http.post("/v1/tts", json={"text": TEXT, "format": kind, "rate": 8_000})
        assert answer.headers["content-type"].endswith("rate=8000")
        assert len(answer.content) % (160 * bytes_each) == 0


@pytest.mark.parametrize("offsets", ["codepoint", "utf16", "utf8"])
async def test_words_name_the_text_as_it_was_sent(http: httpx.AsyncClient, offsets: str) -> None:
    text = "👍 It costs $4.50."
    encoding, width = {"codepoint": ("utf-32-le", 4), "utf16": ("utf-16-le", 2), "utf8": ("utf-8", 1)}[offsets]
    answer = await http.post("/v1/tts?timestamps=true", json={"text": text, "offsets": offsets, "model": "espeak"})
    spoken = (await http.get(answer.headers["words-location"])).json()
    raw = text.encode(encoding)
    words = [raw[a * width : b * width].decode(encoding) for a, b, _, _ in spoken["words"]]
    assert [word for word in words if word != "👍"] == ["It", "costs", "$4.50"]
    times = [time for _, _, begins, ends in spoken["words"] for time in (begins, ends)]
    assert times == sorted(times)
    assert times[-1] <= spoken["audio_ms"]


async def test_the_same_seed_gives_the_same_audio(http: httpx.AsyncClient) -> None:
    body = {"text": TEXT, "seed": 7, "model": "tone"}
    first, second = [(await http.post("/v1/tts", json=body)).content for _ in range(2)]
    assert first == second


async def test_speed_shortens(http: httpx.AsyncClient) -> None:
    lengths = [
        len((await http.post("/v1/tts", json={"text": TEXT, "speed": speed, "model": "espeak"})).content)
        for speed in (0.5, 1.0, 2.0)
    ]
    assert lengths[0] > 1.5 * lengths[1] > 2.0 * lengths[2]


async def test_a_long_text_begins_before_it_ends(http: httpx.AsyncClient) -> None:
    async with http.stream(
        "POST", "/v1/tts", json={"text": "One more sentence of many. " * 400, "model": "espeak"}
    ) as answer:
        parts = [part async for part in answer.aiter_bytes()]
    assert len(parts) > 10
    assert sum(map(len, parts)) > 10_000_000


async def test_who_hangs_up_frees_the_engine(http: httpx.AsyncClient) -> None:
    async with http.stream(
        "POST", "/v1/tts", json={"text": "And so on, and on. " * 3_000, "model": "espeak"}
    ) as answer:
        await anext(answer.aiter_bytes())
    async with asyncio.timeout(WAIT_S):
        while b'voicewire_pool_running{model="espeak"} 0.0' not in (await http.get("/metrics")).content:
            await asyncio.sleep(0.05)


async def test_nothing_to_say_is_an_empty_file(http: httpx.AsyncClient) -> None:
    for text in ("", " \n ", "—", "👍"):
        answer = await http.post("/v1/tts", json={"text": text})
        assert answer.status_code == 200
        assert len(answer.content) < 100
    for kind in (FileKind.FLAC, FileKind.MP3):
        answer = await http.post("/v1/tts", json={"text": "👍", "format": kind})
        assert not decode(answer.content)[0].any()


REFUSED = [
    ({"text": TEXT, "voice": "nobody"}, 404, "unknown_voice"),
    ({"text": TEXT, "model": "nothing"}, 404, "unknown_model"),
    ({"text": TEXT, "format": "ogg"}, 400, "bad_message"),
    ({"text": TEXT, "format": "opus", "rate": 44_100}, 400, "unsupported_format"),
    ({"text": TEXT, "speed": 3}, 400, "bad_message"),
    ({"text": TEXT, "speed": True}, 400, "bad_message"),
    ({"text": TEXT, "speed": "1"}, 400, "bad_message"),
    ({"text": TEXT, "seed": True}, 400, "bad_message"),
    ({"text": TEXT, "seed": "7"}, 400, "bad_message"),
    ({"text": TEXT, "rate": 24_000.0}, 400, "bad_message"),
    ({"text": TEXT, "format": "mp3", "bitrate": "64000"}, 400, "bad_message"),
    ({"text": TEXT, "phonemes": 1}, 400, "bad_message"),
    ({"text": 7}, 400, "bad_message"),
    ({}, 400, "bad_message"),
    ({"text": "x" * (1 << 20)}, 413, "too_large"),
]


@pytest.mark.parametrize(("body", "status", "code"), REFUSED)
async def test_what_cannot_be_spoken_is_said(
    http: httpx.AsyncClient, body: dict[str, object], status: int, code: str
) -> None:
    answer = await http.post("/v1/tts", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["code"] == code


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[1]", b'{"text":"\\ud800"}', b'{"text":"a","speed":NaN}'])
async def test_what_is_not_a_request_is_refused(http: httpx.AsyncClient, data: bytes) -> None:
    answer = await http.post("/v1/tts", content=data, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["code"] == "bad_message"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded"])
async def test_who_sends_no_json_is_told_what_to_send(http: httpx.AsyncClient, kind: str) -> None:
    answer = await http.post("/v1/tts", content=b'{"text": "Hello."}', headers={"Content-Type": kind})
    assert answer.status_code == 400, answer.text
    assert "Content-Type application/json" in answer.json()["error"]["message"]


async def test_phonemes_come_with_the_words_to_who_asks(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/tts?timestamps=true", json={"text": TEXT, "model": "tone"})
    plain = (await http.get(answer.headers["words-location"])).json()
    assert plain["phonemes"] is None
    assert plain["words"]
    for model, expected in (("tone", "itcosts450doesntityesitdoesindeed"), ("espeak", "")):
        answer = await http.post("/v1/tts", json={"text": TEXT, "model": model, "phonemes": True})
        spoken = (await http.get(answer.headers["words-location"])).json()
        told = spoken["phonemes"]
        assert "".join(symbol for symbol, _, _ in told) == expected or not expected
        assert len(told) > len(spoken["words"]) > 5
        times = [time for _, *span in told for time in span]
        assert times == sorted(times)
        assert 0 < times[-1] <= spoken["audio_ms"]


async def test_words_that_nobody_kept_are_not_found(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v1/words/nothing")).json()["error"]["code"] == "not_found"
