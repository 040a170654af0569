"""The page around the reading: texts come in, choices are kept, and it fits screens and people."""

from __future__ import annotations

import asyncio
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Route

from tests.browser.conftest import OpenPage
from tests.browser.reader_page import ReaderPage

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

IMAGES = Path(__file__).parents[2] / "docs" / "images"
IMAGE_BYTES_MAX = 200_000
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}

UNNAMED = """() => [...document.querySelectorAll("button, select, input:not([hidden]), textarea, [tabindex='0']")]
  .filter((element) => !(element.hidden || element.ariaLabel || element.textContent.trim() || element.labels?.length))
  .map((element) => element.outerHTML)"""
SEEK = """(value) => {
  const seek = document.getElementById("seek");
  seek.value = value;
  seek.dispatchEvent(new Event("change"));
}"""
PASTE = """(text) => {
  const clipboardData = new DataTransfer();
  clipboardData.setData("text/plain", text);
  const target = document.getElementById("editor");
  target.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
}"""


async def test_text_and_place_survive_a_reload(open_page: OpenPage) -> None:
    reader = await open_page()
    await reader.play("Remember this place, please. And go on from it tomorrow.")
    await reader.until_heard("place")
    await reader.page.reload()
    await reader.page.wait_for_function("() => window.voicewire?.highlight")
    moment = await reader.moment()
    assert moment.state == "idle"
    assert moment.painted in {"this", "place", "place,"}
    await reader.page.keyboard.press("Space")
    await reader.until_heard("please")
    assert "place, please. And go on" in reader.spoken()[-1]["text"]
    assert not reader.spoken()[-1]["text"].startswith("Remember")


async def test_a_file_is_opened_and_can_be_undone(open_page: OpenPage) -> None:
    reader = await open_page()
    await reader.page.fill("#editor", "What was there before.")
    file: Any = {"name": "notes.md", "mimeType": "text/markdown", "buffer": "# Café\r\n\r\nTwo lines.".encode()}
    await reader.page.set_input_files("#file", file)
    await reader.page.wait_for_selector("#page:not([hidden])")
    assert await reader.get("[...document.querySelectorAll('.line')].map((line) => line.textContent)") == [
        "# Café", "", "Two lines.",
    ]  # fmt: skip
    await reader.page.click("#notice .action")
    assert await reader.page.inner_text("#page") == "What was there before."


async def test_what_is_no_text_is_refused_kindly(open_page: OpenPage) -> None:
    reader = await open_page()
    file: Any = {"name": "photo.txt", "mimeType": "text/plain", "buffer": bytes(range(256))}
    await reader.page.set_input_files("#file", file)
    await reader.page.wait_for_selector("#notice[data-kind=error]")
    assert await reader.notice() == "This file is not plain text. Try a .txt or .md file."


async def test_a_megabyte_can_be_pasted_and_sought_in(open_page: OpenPage) -> None:
    reader = await open_page()
    text = "The quick brown fox jumps over the lazy dog, and goes home.\n\n" * 16_400
    await reader.page.evaluate(PASTE, text)
    await reader.page.wait_for_selector("#page:not([hidden])")
    await reader.page.keyboard.press("Space")
    await reader.until_heard("fox")
    await reader.page.evaluate(SEEK, 750)
    await reader.until_heard("brown", behind=round(0.745 * len(text)))
    moment = await reader.moment()
    assert moment.highlight is not None
    assert abs(moment.highlight["a"] / len(text) - 0.75) < 0.01
    await reader.until_heard("fox")  # a few frames later
    top = await reader.get("[...CSS.highlights.get('vw-word')][0].getBoundingClientRect().top")
    assert 0 < top < await reader.get("innerHeight"), "the word is not in view"


async def test_the_page_follows_the_voice_unless_the_reader_scrolls(open_page: OpenPage) -> None:
    reader = await open_page(viewport={"width": 800, "height": 500})
    text = "\n\n".join(f"Paragraph {n} is short." for n in range(200))  # the voice stays far from the end
    await reader.play(text)
    await reader.click_word("Paragraph 9")
    await reader.until_heard("9")
    await reader.page.mouse.wheel(0, 20_000)
    await reader.page.wait_for_selector("#follow:not([hidden])")
    away = await reader.get("document.getElementById('pane').scrollTop")
    await reader.page.click("#follow")
    await reader.page.wait_for_function("(away) => document.getElementById('pane').scrollTop < away / 2", arg=away)
    assert await reader.page.locator("#follow").is_hidden()


async def test_a_voice_is_searched_and_kept(open_page: OpenPage) -> None:
    reader = await open_page()
    await reader.page.click("#voice")
    await reader.page.keyboard.type("francais")
    await reader.page.wait_for_selector("#voice-list .group-name")
    names = await reader.page.locator("#voice-list .group-name").all_inner_texts()
    assert [name.lower() for name in names] == ["french"]
    await reader.page.keyboard.press("Enter")
    chosen = await reader.page.inner_text("#voice-name")
    await reader.play("Bonjour à tous.")
    assert reader.spoken()[-1]["voice"].startswith("fr")
    await reader.page.reload()
    await reader.page.wait_for_function("() => window.voicewire")
    assert await reader.page.inner_text("#voice-name") == chosen


async def test_a_search_before_the_voices_have_come_is_answered_when_they_have(open_page: OpenPage) -> None:
    held = asyncio.Event()

    async def hold(route: Route) -> None:
        await held.wait()
        await route.continue_()

    reader = await open_page()
    await reader.page.route("**/v1/voices", hold)
    await reader.page.reload()
    await reader.page.wait_for_function("() => window.voicewire")
    await reader.page.click("#voice")
    await reader.page.keyboard.type("francais")
    await reader.page.wait_for_selector("#voices .empty:text('on their way')")
    held.set()
    await reader.page.wait_for_selector("#voice-list .group-name")
    assert await reader.page.locator("#voices .empty").is_hidden()
    await reader.page.fill("#voices input", "no such voice")
    await reader.page.wait_for_selector("#voices .empty:text('No voice fits')")


async def test_nothing_to_read_is_said(open_page: OpenPage) -> None:
    reader = await open_page()
    await reader.page.click("#play")
    assert await reader.notice() == "Paste or type some text first."
    assert await reader.get("document.activeElement.id") == "editor"


async def test_everything_has_a_name(open_page: OpenPage) -> None:
    reader = await open_page()
    assert await reader.page.evaluate(UNNAMED) == []
    assert await reader.page.locator("#notice [aria-live=polite]").count() == 1


@pytest.mark.parametrize(
    ("screen", "size", "scheme"),
    [
        ("desktop", DESKTOP, "light"),
        ("phone", PHONE, "dark"),
        pytest.param("desktop", DESKTOP, "dark", marks=pytest.mark.nightly),
        pytest.param("phone", PHONE, "light", marks=pytest.mark.nightly),
    ],
)
async def test_it_fits_the_screen(open_page: OpenPage, tmp_path: Path, screen: str, size: Any, scheme: str) -> None:
    phone = screen == "phone"
    reader = await open_page(viewport=size, color_scheme=scheme, has_touch=phone, is_mobile=phone)
    folder = IMAGES if os.environ.get("SCREENSHOTS") else tmp_path
    await take(reader, folder / f"reader-{screen}-{scheme}-start.png", size)
    await reader.page.click("[data-sample=morning]")
    await reader.until("playing")
    await reader.page.keyboard.press("ArrowRight")
    await reader.page.keyboard.press("ArrowRight")
    await reader.until_heard("table")
    await take(reader, folder / f"reader-{screen}-{scheme}.png", size)
    await reader.page.click("#voice")
    await take(reader, tmp_path / "voices.png", size)


async def take(reader: ReaderPage, path: Path, size: dict[str, int]) -> None:
    """Take a screenshot, and check that nothing reaches beyond the screen."""
    assert await reader.get("document.documentElement.scrollWidth") == size["width"]
    assert await reader.get("document.documentElement.scrollHeight") == size["height"]
    path.parent.mkdir(parents=True, exist_ok=True)
    image = await reader.page.screenshot(path=path)
    assert struct.unpack(">II", image[16:24]) == (size["width"], size["height"])
    assert len(image) < IMAGE_BYTES_MAX
