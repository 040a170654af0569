"""Home Assistant's own provider, unmodified, over Wyoming: `make interop-all` makes its environment."""

from __future__ import annotations

import pytest

from tests.conftest import started
from tests.interop.environments import made, pinned, run
from tests.interop.sounds import assert_speech, file
from tests.ports import free_port

LONG_BYTES = 30_000  # of what was left after 10,000: an utterance of this length has a million


async def test_home_assistant() -> None:
    if not made("ha"):
        pytest.skip("`make interop-all` has not made its environment, which needs Python 3.13")
    port = free_port()
    with started({"VOICEWIRE_DEFAULT_MODEL": "espeak", "VOICEWIRE_WYOMING_PORT": str(port)}):
        said = await run("ha", "home_assistant", "127.0.0.1", str(port))
    assert said["version"] == pinned("ha")["homeassistant"]
    assert said["platforms"] == ["tts"]
    assert said["languages"]
    assert said["voices"]
    assert said["streaming"] is True
    assert said["kind"] == "wav"
    whole, streamed, after = said["whole"], said["streamed"], said["after"]
    assert (whole["width"], whole["channels"]) == (2, 1)
    assert 3 < whole["seconds"] < 8
    assert_speech(file(said["audio"], "wav"))
    assert streamed["rate_hz"] == whole["rate_hz"]
    assert streamed["seconds"] == pytest.approx(whole["seconds"], abs=1)
    assert said["cut"] < LONG_BYTES
    assert after == streamed, "nothing of what was cut is in it"
    assert said["nothing"] == ["wav", 0]
    assert said["unknown"] == [None, None]
