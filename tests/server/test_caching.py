"""What the settings of the cache bring about."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.cache.making import clip_of, key_of
from tests.cache.test_fs import files
from voicewire.config import Config, ConfigError
from voicewire.server.caching import Caching, open_caching

S3 = {"cache": "s3", "cache_s3_url": "s3://clips/prefix", "cache_s3_endpoint": "http://127.0.0.1:1"}


async def opened(stack: AsyncExitStack, redis: Redis, folder: Path, **settings: Any) -> Caching:
    return await open_caching(Config(data_dir=folder, **settings), redis, stack)


@pytest.mark.parametrize("cache_dir", ["", "elsewhere"])
async def test_clips_go_into_the_data_folder_or_where_it_is_said(tmp_path: Path, redis: Redis, cache_dir: str) -> None:
    where = tmp_path / cache_dir if cache_dir else tmp_path / "cache"
    async with AsyncExitStack() as stack:
        caching = await opened(stack, redis, tmp_path, cache_dir=str(where) if cache_dir else "")
        caching.shelf.put(key_of(1), clip_of(1))
    assert [path.relative_to(where).name for path in files(tmp_path)] == [f"{key_of(1).hex()}.clip"]


async def test_nowhere_leaves_nothing(tmp_path: Path, redis: Redis) -> None:
    async with AsyncExitStack() as stack:
        caching = await opened(stack, redis, tmp_path, cache="noop")
        assert not caching.shelf.keeps
    assert list(tmp_path.iterdir()) == []


async def test_a_folder_that_cannot_be_used_stops_the_start(tmp_path: Path, redis: Redis) -> None:
    (tmp_path / "file").write_text("not a folder")
    async with AsyncExitStack() as stack:
        with pytest.raises(ConfigError, match="file"):
            await opened(stack, redis, tmp_path, cache_dir=str(tmp_path / "file"))


@pytest.mark.parametrize(
    ("settings", "others"),
    [
        ({}, False),
        ({"redis_url": "redis://r"}, False),
        ({"cache_dir": "shared"}, False),
        ({"redis_url": "redis://r", "cache": "noop"}, False),
        ({"redis_url": "redis://r", **S3}, True),
        (S3, False),
    ],
)
async def test_gateways_wait_for_each_other_only_where_they_share(
    tmp_path: Path, redis: Redis, settings: dict[str, str], others: bool
) -> None:
    if "cache_dir" in settings:
        settings = settings | {"cache_dir": str(tmp_path / "shared")}
    async with AsyncExitStack() as stack:
        assert bool((await opened(stack, redis, tmp_path, **settings)).flight) == others


async def test_a_folder_is_shared_where_redis_is(tmp_path: Path, redis: Redis) -> None:
    async with AsyncExitStack() as stack:
        caching = await opened(stack, redis, tmp_path, redis_url="redis://r", cache_dir=str(tmp_path / "shared"))
        assert caching.flight
        assert caching.shelf.may_have(key_of(1))  # another may have written it


async def test_a_bucket_that_is_away_stops_nothing(tmp_path: Path, redis: Redis) -> None:
    async with AsyncExitStack() as stack:
        caching = await opened(stack, redis, tmp_path, **S3)
        assert await caching.shelf.get(key_of(1)) is None


@pytest.mark.parametrize(
    "settings",
    [
        {"cache": "s3"},
        {"cache": "s3", "cache_s3_url": "https://bucket"},
        {"cache_s3_url": "s3://key:secret@bucket"},
        {"cache_s3_endpoint": "minio:9000"},
        {"cache_s3_key_id": "AKID"},
        {"cache_s3_secret": "hunter2"},
        {"cache": "disk"},
    ],
)
def test_what_cannot_be_meant_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        Config(**settings)
    assert "VOICEWIRE_CACHE" in str(caught.value)
    assert "hunter2" not in str(caught.value)
