"""Vendors' own packages, unmodified, speak to a real server: `make interop` makes the environments that they run in."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Served
from tests.interop.environments import pinned, told
from tests.interop.sounds import Timed, assert_files, assert_says, assert_speech, assert_timed, bare, file, own

BOTH = ["core", "old"]
TEXT = "It costs $4.50, doesn't it? Yes."
TURN = "Hello there my friend. And more."
MARKS = "Ça va ? Oui : bien ; merci ! Un — deux. « Oui »"  # some stand alone
ALIGNED = ("chars", "charStartTimesMs", "charDurationsMs")
FEMALE = "en-us+f2"  # whom their female voices mean


@pytest.mark.parametrize("environment", BOTH)
async def test_openai(speaking: Served, environment: str) -> None:
    said = await told(environment, "openai_sdk", speaking)
    assert said["version"] == pinned(environment)["openai"]
    assert {"espeak", "tts-1"} < set(said["models"])
    assert said["found"] == "tts-1"
    ours = await own(speaking, TEXT, voice=FEMALE)
    assert {*said["files"]} == {"mp3", "opus", "aac", "flac", "wav", "pcm"}
    assert_files(said["files"], {"pcm": 24_000}, ours)
    assert_says(bare(said["streamed"], 24_000), await own(speaking, TEXT, voice=FEMALE, speed=1.25))
    assert_says(file(said["evented"], "mp3"), ours, "mp3")
    assert said["request_id"]
    assert said["events"] == ["speech.audio.delta", "speech.audio.done"]
    assert said["refused"] == {
        "voice": ["NotFoundError", "unknown_voice", "voice"],
        "speed": ["BadRequestError", "bad_message", None],
        "key": ["AuthenticationError", "unauthorized", None],
    }


async def _spoken(speaking: Served, turn: dict[str, Any], text: str) -> None:
    ours, heard = await own(speaking, text), bare(turn["audio"], 16_000)
    assert_says(heard, ours, live=True)
    assert_timed(turn["words"], heard, ours, " ")


async def test_cartesia(speaking: Served) -> None:
    said = await told("core", "cartesia_sdk", speaking)
    assert said["version"] == pinned("core")["cartesia"]
    turn, after = said["turn"], said["after"]
    await _spoken(speaking, turn, TURN)
    assert turn["types"] == ["chunk", "done", "flush_done", "phoneme_timestamps", "timestamps"]
    times = [time for _, *span in turn["phonemes"] for time in span]
    assert times == sorted(times)
    assert times[0] < 0.1
    assert turn["words"][-1][1] < times[-1] <= bare(turn["audio"], 16_000).seconds
    assert "".join(symbol for symbol, _, _ in turn["phonemes"]).startswith("həloʊðɛɹ")  # espeak's
    assert turn["last"] == after["last"] == "done"
    assert [word for word, *_ in after["words"]] == ["After", "that."]
    assert_speech(bare(after["audio"], 16_000))
    await _spoken(speaking, said["marks"], MARKS)
    await _spoken(speaking, said["events"], TEXT)
    assert said["events"]["phonemes"]
    assert after["phonemes"] == []
    assert said["error"] == [["error", "unknown_model"]]
    assert_files(said["files"], {"pcm": 16_000, "f32": 24_000, "mulaw": 8_000}, await own(speaking, TEXT))
    assert said["voices"]
    assert said["pages"][0] == 90
    assert said["all"]
    assert said["key"] == "AuthenticationError"


async def test_cartesia_before_3(speaking: Served) -> None:
    said = await told("old", "cartesia_old", speaking)
    assert said["version"] == pinned("old")["cartesia"]
    ours = await own(speaking, TEXT)
    await _spoken(speaking, said["turn"], TURN)
    await _spoken(speaking, said["whole"], TEXT)
    await _spoken(speaking, said["marks"], MARKS)
    assert "there is no model" in said["wrong"]
    await _spoken(speaking, said["after"], "After that.")
    assert said["cut"] > 0
    assert [word for word, *_ in said["again"]["words"]] == ["And", "again."]  # its audio has what was under way, too
    assert said["events"] == ["chunk", "done"]
    assert_says(bare(said["evented"], 16_000), ours)
    assert_files(said["files"], {"pcm": 16_000, "f32": 24_000}, ours)
    assert said["voices"]
    assert "401" in said["key"]
    assert "401" in said["socket_key"]


async def test_deepgram(speaking: Served) -> None:
    said = await told("core", "deepgram_sdk", speaking)
    assert said["version"] == pinned("core")["deepgram-sdk"]
    assert said["first"] == "Metadata"
    ours, yes = await own(speaking, TEXT, voice=FEMALE), await own(speaking, "Yes.", voice=FEMALE)
    assert_says(bare(said["audio"], 24_000), ours, live=True)
    assert (said["flushed"], said["cleared"], said["flushed_again"]) == (0, 1, 2)
    assert_says(bare(said["after"], 24_000), yes, live=True)
    assert_files(said["files"], {"pcm": 24_000, "mulaw": 8_000}, ours)
    assert said["key"] == 401
    turns = said["turns"]
    assert turns["first"] == "Connected"
    assert turns["turn"] == ["SpeechStarted", "Flushed", "SpeechMetadata"]
    assert_says(bare(turns["audio"], 24_000), ours, live=True)
    assert turns["applied"] == 1.5
    assert turns["cut"] == [20, True], "the part that was heard and the other one make the text"
    assert turns["metadata"] == "SpeakV2SpeechInterruptedMetadata"
    assert turns["closing"] == [*turns["turn"], "SessionMetadata"]
    fast = await own(speaking, "Yes.", voice=FEMALE, speed=1.5)
    assert_says(bare(turns["after"], 24_000), fast, live=True)
    assert turns["close"] == 1000
    assert_says(file(turns["file"], "mp3"), ours, "mp3")


async def test_deepgram_before_5(speaking: Served) -> None:
    said = await told("old", "deepgram_old", speaking)
    assert said["version"] == pinned("old")["deepgram-sdk"]
    assert said["began"]
    assert said["request_id"]
    ours = await own(speaking, TEXT, voice=FEMALE)
    assert_says(bare(said["audio"], 24_000), ours, live=True)
    assert said["sequence"] == [0, 1, 2]
    assert_says(bare(said["after"], 24_000), await own(speaking, "Yes.", voice=FEMALE), live=True)
    assert_files(said["files"], {"pcm": 24_000}, ours)
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
    ours, marks = await own(speaking, TEXT), await own(speaking, MARKS)
    assert_files(said["files"], {"pcm": 16_000, "mulaw": 8_000}, ours)
    assert_says(bare(said["pcm"], 16_000), ours)
    for name, kind in (("whole", "opus"), ("parts", "mp3")):
        heard = file(said[name]["audio"], kind)
        assert_says(heard, ours, kind)
        assert_timed(said[name]["letters"], heard, ours)
    assert_says(bare(said["marks"]["audio"], 16_000), marks)
    assert_timed(said["marks"]["letters"], bare(said["marks"]["audio"], 16_000), marks)
    assert_says(bare(said["live"], 16_000), ours, live=True)
    assert_timed(_letters(said["alignments"]), bare(said["live"], 16_000), ours)
    assert (said["refused"], said["key"]) == (404, 401)


def _letters(alignments: list[dict[str, Any]]) -> Timed:
    """The characters of a socket's messages; the times of each begin where those before it ended."""
    letters: list[tuple[str, int, int]] = []
    for alignment in alignments:
        origin_ms = letters[-1][2] if letters else 0
        for character, starts_ms, lasts_ms in zip(*(alignment[name] for name in ALIGNED), strict=True):
            begins_ms = origin_ms + starts_ms
            letters.append((character, begins_ms, begins_ms + lasts_ms))
    return [(character, begins_ms / 1_000, ends_ms / 1_000) for character, begins_ms, ends_ms in letters]


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
