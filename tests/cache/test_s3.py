"""The bucket on a server that speaks S3, over a socket: moto's."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

import httpx
import pytest

from tests.cache.making import clip_of, key_of, take_of
from tests.cache.test_shelf import running
from tests.test_forms import BLOCKS, OPUS, TELEPHONE, heard, made
from voicewire.cache.entry import Corrupt, parse, serialize
from voicewire.cache.s3 import Bucket, S3Backend
from voicewire.clips import Clips
from voicewire.engines.pooling import Pool
from voicewire.pipeline import Pipeline

SERVER = "from moto.server import main; main(['--host', '127.0.0.1', '--port', '0'])"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    process = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout
    said = ""
    while not (url := re.search(r"http://127.0.0.1:\d+", said)):
        line = process.stdout.readline().decode()
        assert line, f"the server did not start: {said}"
        said += line
    httpx.put(f"{url[0]}/clips", trust_env=False).raise_for_status()
    yield url[0]
    process.kill()
    process.wait()
    process.stdout.close()


def bucket(endpoint: str, name: str = "clips") -> Bucket:
    return Bucket(f"s3://{name}/some/prefix", endpoint, "us-east-1", "AKID", "secret")


async def test_what_was_put_is_there_for_every_gateway(endpoint: str) -> None:
    one, other = S3Backend(bucket(endpoint)), S3Backend(bucket(endpoint))
    read, data = partial(parse, key_of(1)), serialize(key_of(1), clip_of(1, 300_000))
    assert await one.get(key_of(1), read) is None
    assert not await one.has(key_of(1))
    await one.put(key_of(1), lambda: data)
    assert await other.has(key_of(1))
    await one.put(key_of(1), lambda: data)
    assert await other.get(key_of(1), read) == clip_of(1, 300_000)
    await other.discard(key_of(1))
    await other.discard(key_of(1))
    assert await one.get(key_of(1), read) is None
    await one.close()
    await other.close()


async def test_many_at_once(endpoint: str) -> None:
    async with running(S3Backend(bucket(endpoint))) as shelf:
        for number in range(20, 40):
            shelf.put(key_of(number), clip_of(number))
        await shelf.drain()
        found = await asyncio.gather(*(shelf.get(key_of(number)) for number in range(20, 40)))
    assert found == [clip_of(number) for number in range(20, 40)]
    assert (shelf.stats.written, shelf.stats.hits) == (20, 20)


async def test_what_is_not_there_is_not_looked_for_a_moment_later(endpoint: str) -> None:
    async with running(S3Backend(bucket(endpoint))) as shelf:
        assert shelf.may_have(key_of(50))
        asked = shelf.ask(key_of(50))
        assert asked
        await asked
        assert not shelf.may_have(key_of(50))
        shelf.put(key_of(50), take_of(50))
        await shelf.drain()
        assert shelf.may_have(key_of(50))
        assert await shelf.get(key_of(50)) == take_of(50)
    assert shelf.stats.misses == 0


async def test_another_format_is_encoded_of_what_an_engine_gave_for_another_gateway(endpoint: str, tone: Pool) -> None:
    for format, encoded in ((OPUS, 0), (TELEPHONE, BLOCKS)):
        async with running(S3Backend(bucket(endpoint))) as shelf:
            pipeline = Pipeline({"tone": tone}, Clips(1 << 20), shelf)
            assert await heard(pipeline, format)
            assert pipeline.figures()["clips_encoded"] == encoded
            await shelf.drain()
    assert made(tone) == BLOCKS


async def test_a_corrupt_object_is_removed(endpoint: str) -> None:
    backend = S3Backend(bucket(endpoint))
    await backend.put(key_of(2), lambda: b"not a clip")
    with pytest.raises(Corrupt):
        await backend.get(key_of(2), partial(parse, key_of(2)))
    async with running(backend) as shelf:
        assert await shelf.get(key_of(2)) is None
        assert (shelf.stats.corrupt, shelf.stats.misses) == (1, 0)
        assert await shelf.get(key_of(2)) is None
        assert (shelf.stats.corrupt, shelf.stats.misses) == (1, 1)


@pytest.mark.parametrize(("name", "port"), [("no-such-bucket", 0), ("clips", 1)])
async def test_a_bucket_that_cannot_be_used_is_counted_and_blocks_are_made(
    endpoint: str, name: str, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    where = f"http://127.0.0.1:{port}" if port else endpoint
    async with running(S3Backend(bucket(where, name))) as shelf:
        shelf.put(key_of(3), clip_of(3))
        await shelf.drain()
        assert await shelf.get(key_of(3)) is None
    assert shelf.stats.lost == 1
    assert shelf.stats.failures + shelf.stats.misses == 2
    assert "could not be used" in caplog.text
    assert "secret" not in caplog.text
