"""The reader in a real Chromium: what is marked is what is heard."""

from __future__ import annotations

import asyncio

import pytest

from tests.browser.conftest import TEXT_CHARS, OpenPage
from tests.browser.reader_page import Heard

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

TEXT = (
    "Good morning. The coffee costs $4.50 today 😀 and that isn't bad, said Dr. Lind at 9:30. "
    "Everybody laughed; nobody paid.\n\nThen the next train arrived from the north."
)
TOLERANCE_MS = 80

NO_HIGHLIGHT_API = "delete window.Highlight"
NO_WEBCODECS = "delete window.AudioDecoder"
NO_WORKLET = 'Object.defineProperty(BaseAudioContext.prototype, "audioWorklet", { value: undefined })'


def is_heard(moment: Heard) -> bool:
    """Whether the marked word is the last one begun, or would be, give or take the tolerance."""
    assert moment.highlight is not None
    sooner, later = (
        sum(word[2] <= moment.position_ms + shift_ms for word in moment.words)
        for shift_ms in (-TOLERANCE_MS, TOLERANCE_MS)
    )
    allowed = [word[:2] for word in moment.words[max(sooner - 1, 0) : later]]
    return [moment.highlight["a"], moment.highlight["b"]] in allowed


def in_utf16(text: str, a: int, b: int) -> str:
    return text.encode("utf-16-le")[2 * a : 2 * b].decode("utf-16-le")


async def test_the_marked_word_is_the_one_being_heard(open_page: OpenPage) -> None:
    reader = await open_page()
    await reader.play(TEXT)
    marked: list[str] = []
    while len(marked) < 10 or len(set(marked)) < 6:  # a busy browser is looked at more often
        assert len(marked) < 30, "the mark hardly moved"
        await asyncio.sleep(0.45)
        moment = await reader.moment()
        assert moment.highlight is not None
        assert is_heard(moment)
        assert (
            moment.painted == moment.highlight["text"] == in_utf16(TEXT, moment.highlight["a"], moment.highlight["b"])
        )
        marked.append(moment.painted)
    await reader.until_heard("isn't")
    assert await reader.get("window.voicewire.codec") == "opus"


async def test_what_is_in_hand_is_heard_without_a_gap(open_page: OpenPage) -> None:
    reader = await open_page()
    await reader.play("Good morning. Everybody laughed; nobody paid.\n\nThen the next train arrived from the north.")
    await reader.until_told("done")
    await reader.page.keyboard.press("Space")
    await reader.until("paused")
    await asyncio.sleep(0.3)  # what has come is decoded
    gaps = await reader.get("window.voicewire.gaps")  # sound that had not come yet had to be waited for
    await reader.page.keyboard.press("Space")
    await reader.until("idle")
    assert len([message for message in reader.told if message["type"] == "block"]) > 2
    assert await reader.get("window.voicewire.gaps") == gaps


@pytest.mark.parametrize(
    ("missing", "codec"),
    [
        (NO_WEBCODECS, "pcm_s16le"),
        pytest.param(NO_HIGHLIGHT_API, "opus", marks=pytest.mark.nightly),
        pytest.param(NO_WORKLET, "opus", marks=pytest.mark.nightly),
    ],
)
async def test_an_older_browser_reads_as_well(open_page: OpenPage, missing: str, codec: str) -> None:
    reader = await open_page(missing, harmless=("ScriptProcessorNode is deprecated",))
    await reader.play("It costs $4.50 😀 today. That is all.")
    await reader.until_heard("$4.50")
    moment = await reader.moment()
    assert is_heard(moment)
    assert await reader.get("window.voicewire.codec") == codec
    if missing == NO_HIGHLIGHT_API:
        assert await reader.get("document.querySelector('mark.vw-word').textContent") == "$4.50"
    await reader.until("idle")
    assert await reader.get("document.querySelectorAll('mark').length") == 0


async def test_pause_stops_voice_and_mark(open_page: OpenPage) -> None:
    reader = await open_page()
    await reader.play(TEXT)
    await reader.until_heard("coffee")
    await reader.page.keyboard.press("Space")
    await reader.until("paused")
    await asyncio.sleep(0.3)  # what was on its way to the loudspeaker is heard
    before = await reader.moment()
    assert await reader.get("navigator.mediaSession.playbackState") == "paused"
    await asyncio.sleep(0.7)
    after = await reader.moment()
    assert (after.position_ms, after.highlight) == (before.position_ms, before.highlight)
    assert [message for message in reader.said if message["type"] == "playhead"][-1]["paused"] is True
    await reader.page.keyboard.press("Space")
    await reader.until_heard("bad")
    assert await reader.get("navigator.mediaSession.playbackState") == "playing"
    assert len(reader.spoken()) == 1, "a pause must not cost a second reading"


async def test_a_click_goes_to_the_word(open_page: OpenPage) -> None:
    reader = await open_page()
    await reader.play(TEXT)
    await reader.click_word("laughed")
    await reader.until_heard("laughed")
    assert [message["text"][:8] for message in reader.spoken()] == ["Good mor", "laughed;"]
    await reader.until_told("cancelled")
    assert [message["type"] for message in reader.told].count("cancelled") == 1
    assert is_heard(await reader.moment())


async def test_speed_changes_at_the_word_being_heard(open_page: OpenPage) -> None:
    reader = await open_page()
    await reader.play(TEXT)
    await reader.until_heard("coffee")
    for _ in range(5):
        await reader.page.keyboard.press("+")
    await reader.page.wait_for_function("() => document.getElementById('speed').value === '1.5'")
    await reader.until_heard("bad")
    first, second = reader.spoken()
    assert (first["speed"], second["speed"]) == (1, 1.5)
    assert TEXT.endswith(second["text"])
    assert 0 < TEXT.index(second["text"]) < TEXT.index("today")


async def test_sentences_back_and_forward(open_page: OpenPage) -> None:
    reader = await open_page()
    sentences = [
        f"{name} is a sentence so long that nobody, however busy, misses it. " for name in ("One", "Two", "Three")
    ]
    text = "".join(sentences)
    await reader.play(text)
    for key, number in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1)):
        await reader.page.keyboard.press(key)
        await reader.until_within(sentences[number])
    await reader.page.keyboard.press("Escape")
    await reader.until("idle")
    assert await reader.get("document.activeElement.id") == "editor"
    assert await reader.get("document.activeElement.selectionStart") >= text.index("Two")


@pytest.mark.nightly
async def test_a_long_text_is_read_to_its_end(open_page: OpenPage) -> None:
    reader = await open_page()
    text = "".join(f"Sentence {n} is not so long. " for n in range(12))
    await reader.page.select_option("#speed", "2")
    await reader.play(text)
    await reader.until("idle")
    refused, *spoken = [message["text"] for message in reader.spoken()]
    assert len(refused) > TEXT_CHARS, "before the first connection the server's limit is not known"
    assert len(spoken) > 1
    assert max(map(len, spoken)) <= TEXT_CHARS
    assert "".join(spoken).split() == text.split()
    audio_ms = sum(message["audio_ms"] for message in reader.told if message["type"] == "done")
    assert await reader.get("window.voicewire.playedMs") == pytest.approx(audio_ms, abs=1)
