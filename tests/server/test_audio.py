"""`GET /v1/audio/{sha256}` on a real server: the file of a block is what was heard, whole or in part."""

from __future__ import annotations

import asyncio
import io
import json
import struct
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import av
import httpx
import numpy as np
import pytest
from websockets.asyncio.client import connect

from tests.conftest import Served
from tests.server.two_tenants import new_tenant
from voicewire.codecs.base import open_decoder
from voicewire.frames import LAST_OF_CONTEXT, unpack_audio
from voicewire.types import Codec, Format

HELLO = "Hello there, this is one block."
FORMATS: dict[Codec, tuple[dict[str, Any], str]] = {
    Codec.OPUS: ({"codec": "opus"}, "audio/ogg; codecs=opus"),
    Codec.PCM_S16LE: ({"codec": "pcm_s16le", "rate": 16_000}, "audio/wav"),
    Codec.PCM_F32LE: ({"codec": "pcm_f32le", "rate": 48_000}, "audio/wav"),
    Codec.MULAW: ({"codec": "mulaw"}, "audio/PCMU; rate=8000"),
    Codec.ALAW: ({"codec": "alaw"}, "audio/PCMA; rate=8000"),
}


class Heard(NamedTuple):
    """A block as it came over the socket."""

    audio: str
    packets: list[bytes]
    cached: bool
    format: Format


@pytest.fixture
async def http(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {served.key}"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=30, trust_env=False) as client:
        yield client


async def hear(served: Served, text: str, format: dict[str, Any], key: str = "") -> Heard:
    url = served.url.replace("http", "ws") + "/v1/stream"
    audio, packets, cached, granted, flags = "", [], False, Format(), []
    async with connect(url, additional_headers={"X-API-Key": key or served.key}) as socket:
        speak = {"type": "speak", "context": "c", "model": "tone", "text": text, "format": format, "lead_ms": 30_000}
        await socket.send(json.dumps(speak))
        async for data in socket:
            if isinstance(data, bytes):
                frames = unpack_audio(data)
                packets += frames.packets
                flags.append(frames.flags)
                continue
            message = json.loads(data)
            if message["type"] == "opened":
                told = message["format"]
                granted = Format(Codec(told["codec"]), told["rate"], told["frame_ms"])
            elif message["type"] == "block":
                assert not audio, "one block"
                audio, cached = message["audio"], message["cached"]
            elif message["type"] == "done":
                assert [flag & LAST_OF_CONTEXT for flag in flags] == [0] * (len(flags) - 1) + [LAST_OF_CONTEXT]
                return Heard(audio, packets, cached, granted)
    raise AssertionError("it did not end")


@pytest.mark.parametrize("codec", FORMATS)
async def test_the_file_of_a_block_is_what_was_heard(served: Served, http: httpx.AsyncClient, codec: Codec) -> None:
    format, media_type = FORMATS[codec]
    heard = await hear(served, HELLO, format)
    answer = await http.get(f"/v1/audio/{heard.audio}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert answer.headers["accept-ranges"] == "bytes"
    decoder = open_decoder(heard.format)
    expected = np.concatenate([decoder.decode(packet) for packet in heard.packets])
    if codec in {Codec.MULAW, Codec.ALAW}:
        assert answer.content == b"".join(heard.packets)
        return
    with av.open(io.BytesIO(answer.content), "r") as container:
        resampler = av.AudioResampler("s16", "mono", heard.format.rate_hz)
        frames = [each for frame in container.decode(audio=0) for each in resampler.resample(frame)]
    samples = np.concatenate([frame.to_ndarray().reshape(-1) for frame in [*frames, *resampler.resample(None)]])
    assert abs(len(samples) - len(expected)) <= 32 * (codec is Codec.OPUS)  # Ogg counts at 48 kHz, and is resampled
    if codec is not Codec.OPUS:
        assert np.abs(samples.astype(int) - expected).max() <= 1


async def test_one_synthesis_serves_every_format(served: Served, http: httpx.AsyncClient) -> None:
    text = "What is said here once is heard in six formats."
    opus = await hear(served, text, {"codec": "opus"})
    rendered = await metric(http, "voicewire_pool_rendered_seconds_total")
    encoded = await metric(http, "voicewire_clips_encoded_total")
    mulaw = await hear(served, text, {"codec": "mulaw"})
    assert len(mulaw.packets) == pytest.approx(len(opus.packets), abs=1)
    for kind in ("wav", "flac", "mp3"):
        answer = await http.post("/v1/tts", json={"text": text, "model": "tone", "format": kind, "rate": 16_000})
        assert answer.status_code == 200
    assert await metric(http, "voicewire_pool_rendered_seconds_total") == rendered
    assert await metric(http, "voicewire_clips_encoded_total") == encoded + 2  # all files are of the same samples


async def metric(http: httpx.AsyncClient, name: str) -> float:
    page = (await http.get("/metrics")).text
    return sum(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(name))


async def test_ogg_says_the_exact_length(served: Served, http: httpx.AsyncClient) -> None:
    heard = await hear(served, HELLO, {"codec": "opus", "rate": 24_000})
    data = (await http.get(f"/v1/audio/{heard.audio}")).content
    (granules,) = struct.unpack_from("<q", data, data.rindex(b"OggS") + 6)
    assert granules == len(heard.packets) * 960
    assert all(packet in data for packet in heard.packets)


async def test_a_part_of_it_can_be_had(served: Served, http: httpx.AsyncClient) -> None:
    heard = await hear(served, HELLO, {"codec": "pcm_s16le"})
    url = f"/v1/audio/{heard.audio}"
    whole = await http.get(url)
    size, etag = len(whole.content), whole.headers["etag"]
    for asked, start, stop in (
        ("0-99", 0, 100),
        ("100-", 100, size),
        ("-50", size - 50, size),
        ("7-999999999", 7, size),
    ):
        part = await http.get(url, headers={"Range": f"bytes={asked}"})
        assert part.status_code == 206
        assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
        assert part.content == whole.content[start:stop]
    assert (await http.get(url, headers={"Range": "Bytes=0-9"})).content == whole.content[:10]
    two = await http.get(url, headers=[("Range", "bytes=0-9"), ("Range", "bytes=20-29")])
    assert (two.status_code, two.content) == (200, whole.content)
    for ignored in ("bytes=5-2", "bytes=a-b", "chars=0-1", "bytes=0-1,5-6"):
        assert (await http.get(url, headers={"Range": ignored})).content == whole.content
    assert (await http.get(url, headers={"Range": "bytes=0-1", "If-Range": '"another"'})).content == whole.content
    assert (await http.get(url, headers={"Range": "bytes=0-1", "If-Range": etag})).status_code == 206
    beyond = await http.get(url, headers={"Range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.json()["error"]["code"]) == (416, "range_not_satisfiable")
    assert beyond.headers["content-range"] == f"bytes */{size}"
    assert (await http.get(url, headers={"Range": f"bytes=0-{10**30}"})).status_code == 206
    head = await http.head(url)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(size))


async def test_who_has_it_is_not_sent_it_again(served: Served, http: httpx.AsyncClient) -> None:
    url = f"/v1/audio/{(await hear(served, HELLO, {'codec': 'opus'})).audio}"
    etag = (await http.get(url)).headers["etag"]
    for given, status in ((etag, 304), (f'"a", W/{etag}', 304), ("*", 304), ('"another"', 200)):
        answer = await http.get(url, headers={"If-None-Match": given})
        assert (answer.status_code, answer.headers["etag"]) == (status, etag)
        assert bool(answer.content) == (status == 200)


async def test_it_is_not_there_for_others_nor_under_other_names(served: Served, http: httpx.AsyncClient) -> None:
    heard = await hear(served, HELLO, {"codec": "opus"})
    stranger = await asyncio.to_thread(new_tenant, served, "t_audio_stranger")
    async with stranger.client(served) as client:
        assert (await client.get(f"/v1/audio/{heard.audio}")).status_code == 404
        other = await hear(served, HELLO, {"codec": "opus"}, stranger.key)
        assert (other.cached, other.packets) == (False, heard.packets)
        assert other.audio != heard.audio
        assert (await client.get(f"/v1/audio/{other.audio}")).status_code == 200
    for name in ("0" * 64, heard.audio.upper(), heard.audio[:-1], heard.audio + "0", "..%2f" + heard.audio, "%00"):
        assert (await http.get(f"/v1/audio/{name}")).status_code == 404, name
    async with httpx.AsyncClient(base_url=served.url, trust_env=False) as nobody:
        answer = await nobody.get(f"/v1/audio/{heard.audio}", headers={"X-Forwarded-For": "192.0.2.1"})
        assert answer.status_code == 401


async def test_what_was_spoken_is_found_again(served: Served) -> None:
    text = "This is said for the second time."
    first, again = await hear(served, text, {"codec": "opus"}), await hear(served, text, {"codec": "opus"})
    assert (first.cached, again.cached) == (False, True)
    assert (first.audio, first.packets) == (again.audio, again.packets)
