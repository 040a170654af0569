"""Vendors' own packages, unmodified, speak to a real server: `make interop` makes the environments that they run in."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Served
from tests.interop.environments import pinned, told

BOTH = ["core", "old"]
TEXT = "It costs $4.50, doesn't it? Yes."


@pytest.mark.parametrize("environment", BOTH)
async def test_openai(speaking: Served, environment: str) -> None:
    said = await told(environment, "openai_sdk", speaking)
    assert said["version"] == pinned(environment)["openai"]
    assert {"espeak", "tts-1"} < set(said["models"])
    assert said["found"] == "tts-1"
    pcm = said["sizes"].pop("pcm")
    assert 2 < pcm / 48_000 < 6
    assert all(0 < size < pcm + 100 for size in said["sizes"].values())
    assert said["streamed"] == pytest.approx(pcm / 1.25, rel=0.1)
    assert said["request_id"]
    assert said["events"] == ["speech.audio.delta", "speech.audio.done"]
    assert said["refused"] == {
        "voice": ["NotFoundError", "unknown_voice", "voice"],
        "speed": ["BadRequestError", "bad_message", None],
        "key": ["AuthenticationError", "unauthorized", None],
    }


def _spoken_in_order(turn: dict[str, Any]) -> None:
    assert turn["words"] == ["Hello", "there", "my", "friend.", "And", "more."]
    assert turn["starts"] == sorted(turn["starts"])
    assert turn["starts"][-1] < turn["bytes"] / 32_000 < 4


async def test_cartesia(speaking: Served) -> None:
    said = await told("core", "cartesia_sdk", speaking)
    assert said["version"] == pinned("core")["cartesia"]
    turn, after = said["turn"], said["after"]
    _spoken_in_order(turn)
    assert turn["types"] == ["chunk", "done", "flush_done", "phoneme_timestamps", "timestamps"]
    times = [time for _, *span in turn["phonemes"] for time in span]
    assert times == sorted(times)
    assert times[0] < 0.1 < turn["starts"][-1] < times[-1] <= turn["bytes"] / 32_000
    assert "".join(symbol for symbol, _, _ in turn["phonemes"]).startswith("həloʊðɛɹ")  # espeak's
    assert said["events"]
    assert turn["last"] == after["last"] == "done"
    assert after["words"] == ["After", "that."]
    assert after["phonemes"] == []
    assert said["error"] == [["error", "unknown_model"]]
    assert said["bytes"] > 32_000
    assert said["voices"]
    assert said["pages"][0] == 90
    assert said["all"]
    assert said["key"] == "AuthenticationError"


async def test_cartesia_before_3(speaking: Served) -> None:
    said = await told("old", "cartesia_old", speaking)
    assert said["version"] == pinned("old")["cartesia"]
    turn, whole = said["turn"], said["whole"]
    _spoken_in_order(turn)
    assert " ".join(whole["words"]) == TEXT
    assert whole["bytes"] == pytest.approx(said["bytes"], abs=3_200)
    assert "there is no model" in said["wrong"]
    assert said["after"]["words"] == ["After", "that."]
    assert said["cut"] > 0
    assert said["again"]["words"] == ["And", "again."]
    assert said["events"] == ["chunk", "done"]
    assert said["voices"]
    assert "401" in said["key"]
    assert "401" in said["socket_key"]


async def test_deepgram(speaking: Served) -> None:
    said = await told("core", "deepgram_sdk", speaking)
    assert said["version"] == pinned("core")["deepgram-sdk"]
    assert said["first"] == "Metadata"
    assert 2 < said["bytes"] / 48_000 < 6
    assert (said["flushed"], said["cleared"], said["flushed_again"]) == (0, 1, 2)
    assert 0 < said["after"] < said["bytes"] / 2
    assert said["file"] > 1_000
    assert said["key"] == 401
    turns = said["turns"]
    assert turns["first"] == "Connected"
    assert turns["turn"] == ["SpeechStarted", "Flushed", "SpeechMetadata"]
    assert turns["bytes"] == said["bytes"]
    assert turns["applied"] == 1.5
    assert turns["cut"] == [20, True], "the part that was heard and the other one make the text"
    assert turns["metadata"] == "SpeakV2SpeechInterruptedMetadata"
    assert turns["closing"] == [*turns["turn"], "SessionMetadata"]
    assert 0 < turns["after"] < said["after"]
    assert turns["close"] == 1000
    assert turns["file"] > 1_000


async def test_deepgram_before_5(speaking: Served) -> None:
    said = await told("old", "deepgram_old", speaking)
    assert said["version"] == pinned("old")["deepgram-sdk"]
    assert said["began"]
    assert said["request_id"]
    assert 2 < said["bytes"] / 48_000 < 6
    assert said["sequence"] == [0, 1, 2]
    assert 0 < said["after"] < said["bytes"] / 2
    assert said["file"] > 1_000
    assert said["finished"]
    assert (said["key"], said["socket_key"]) == ("401", False)


@pytest.mark.parametrize("environment", BOTH)
async def test_elevenlabs(speaking: Served, environment: str) -> None:
    said = await told(environment, "elevenlabs_sdk", speaking)
    assert said["version"] == pinned(environment)["elevenlabs"]
    assert "espeak" in said["models"]
    assert said["voice"] == said["voices"][0]
    assert said["found"] >= 3
    assert said["known"] == "21m00Tcm4TlvDq8ikWAM"
    assert said["pages"] == [4, True]
    seconds = said["pcm"] / 32_000
    assert 2 < seconds < 6
    assert said["ulaw"] / 8_000 == pytest.approx(seconds, abs=0.05)
    assert said["live"] / 32_000 == pytest.approx(seconds, abs=0.5)
    assert said["whole"] == ["OggS", TEXT]
    assert said["parts"] == TEXT
    assert (said["refused"], said["key"]) == (404, 401)


@pytest.mark.parametrize(
    ("vendor", "key"),
    [
        ("openai", ["AuthenticationError", "unauthorized", None]),
        ("cartesia", "AuthenticationError"),
        ("deepgram", 401),
        ("elevenlabs", 401),
    ],
)
async def test_behind_a_prefix(speaking: Served, vendor: str, key: object) -> None:
    said = await told("core", f"{vendor}_sdk", speaking._replace(url=f"{speaking.url}/{vendor}"))
    refused = said["refused"]["key"] if vendor == "openai" else said["key"]
    assert refused == key
