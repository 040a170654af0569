"""Frameworks for voice agents, unmodified, speak to a real server: `make interop-all` makes the environments."""

from __future__ import annotations

import pytest

from tests.conftest import Served
from tests.interop.environments import pinned, told
from tests.interop.sounds import assert_speech, bare

TEXT = "Hello there, friend. It costs $4.50 today. How are you?"
WORDS = TEXT.split()
BYTES_PER_S = 48_000
ALIGNED = ("voicewire", "cartesia", "elevenlabs")  # these tell their words
WHOLE = ("deepgram", "flux", "openai")


@pytest.mark.parametrize("service", [*ALIGNED, *WHOLE])
async def test_pipecat(speaking: Served, service: str) -> None:
    said = await told("pipecat", "pipecat_services", speaking, service)
    assert said["version"] == pinned("pipecat")["pipecat-ai"]
    turn, cut, wrong = said["turn"], said["cut"], said["wrong"]
    assert (turn["started"], turn["stopped"], turn["errors"]) == (1, 1, [])
    assert 3 < turn["bytes"] / BYTES_PER_S < 8
    assert_speech(bare(turn["audio"], BYTES_PER_S // 2))
    assert " ".join(turn["words"]).split() == WORDS
    assert 0 < cut["bytes_cut"] < cut["bytes"]
    assert cut["errors"] == []
    assert " ".join(cut["words_after"]) == "After that."
    assert wrong["bytes"] == 0
    assert any("401" in error or "credential" in error for error in wrong["errors"])
    if service in ALIGNED:
        assert turn["words"] == WORDS
        assert turn["ascending"]
        assert cut["bytes"] - cut["bytes_cut"] < 2 * BYTES_PER_S, "nothing of what was cut comes behind it"


@pytest.mark.parametrize("service", [*ALIGNED, *WHOLE])
async def test_livekit(speaking: Served, service: str) -> None:
    said = await told("livekit", "livekit_plugins", speaking, service)
    assert said["version"] == pinned("livekit")["livekit-agents"]
    turn, after = said["turn"], said["after"]
    assert 3 < turn["duration"] < 8
    heard = bare(turn["audio"], turn["rate_hz"])
    assert_speech(heard)
    assert heard.seconds == pytest.approx(turn["duration"], abs=0.01)
    assert after["duration"] == pytest.approx(turn["duration"], abs=0.1), "nothing of what was cut is in it"
    assert after["text"] == turn["text"]
    assert 0.5 < said["whole"] < 2
    assert said["wrong"] == ["APIStatusError", 401]
    if service in ALIGNED:
        assert said["aligned"]
        assert turn["text"].strip() == TEXT
        assert turn["starts"] == sorted(turn["starts"])
        assert len(turn["starts"]) == len(WORDS)
        assert turn["starts"][-1] < turn["duration"]
