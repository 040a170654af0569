"""The reader's page as a test drives it, and what went over its sockets."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

from playwright.async_api import Page, WebSocket

from voicewire.frames import unpack_audio

WITHIN_S = 30  # for anything to happen, on a machine that is busy with other tests


HEARD = """([part, behind]) => {
    const at = document.getElementById("editor").value.indexOf(part, behind) + 1;
    const marked = window.voicewire.highlight;
    return marked && at && marked.b >= at && at;
}"""

WITHIN = """(part) => {
    const at = document.getElementById("editor").value.indexOf(part);
    const marked = window.voicewire.highlight;
    return marked && marked.a >= at && marked.b <= at + part.length;
}"""


class Heard(NamedTuple):
    """A moment: what is heard, and what is marked."""

    state: str
    position_ms: float
    words: list[list[float]]  # [a, b, start_ms, end_ms]
    highlight: dict[str, Any] | None
    painted: str  # what the browser paints as `vw-word`


MOMENT = """() => {
  const { state, heard, highlight } = window.voicewire;
  const painted = window.CSS?.highlights ? [...(CSS.highlights.get("vw-word") ?? [])] : [];
  return [state, heard.positionMs, heard.words, highlight, painted.map(String).join("|")];
}"""

CENTRE_OF = """(wanted) => {
  const walker = document.createTreeWalker(document.getElementById("page"), NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const at = node.data.indexOf(wanted);
    if (at < 0) continue;
    const range = document.createRange();
    range.setStart(node, at);
    range.setEnd(node, at + wanted.length);
    node.parentElement.scrollIntoView({ block: "center" });
    const { x, y, width, height } = range.getBoundingClientRect();
    return [x + width / 2, y + height / 2];
  }
}"""


class ReaderPage:
    """Wraps a Playwright page that shows the reader. `harmless` are words of console messages that are expected."""

    def __init__(self, page: Page, harmless: tuple[str, ...] = ()) -> None:
        self.page = page
        self.complaints: list[str] = []  # of the browser, in its console
        self.said: list[dict[str, Any]] = []  # by the page, over its sockets
        self.told: list[dict[str, Any]] = []  # by the server
        self.frames: list[tuple[int, int, int]] = []  # (channel, first seq, count) of every binary message
        self.sockets: list[WebSocket] = []
        self._harmless = harmless
        self._heard = 0  # behind what was waited for last
        page.on("console", lambda message: self._on_console(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("websocket", self._on_socket)

    async def open(self, origin: str, fragment: str = "") -> None:
        await self.page.goto(f"{origin}/{fragment}")
        await self.page.wait_for_function("() => window.voicewire && document.getElementById('voice-name').textContent")

    async def play(self, text: str) -> None:
        await self.page.fill("#editor", text)
        await self.page.click("#play")
        await self.until("playing")

    async def until(self, state: str) -> None:
        await self.page.wait_for_function(
            "(state) => window.voicewire.state === state", arg=state, timeout=1000 * WITHIN_S
        )

    async def until_heard(self, part: str, behind: int | None = None) -> None:
        """Wait until the mark is at `part` or beyond (a busy browser skips words): the next, or the one `behind`."""
        behind = self._heard if behind is None else behind
        found = await self.page.wait_for_function(HEARD, arg=[part, behind], timeout=1000 * WITHIN_S)
        self._heard = await found.json_value()

    async def until_within(self, part: str) -> None:
        """Wait until the marked word is one of `part`'s."""
        await self.page.wait_for_function(WITHIN, arg=part, timeout=1000 * WITHIN_S)

    async def until_told(self, type: str) -> None:
        """Wait until the server has said a message of this type."""
        async with asyncio.timeout(WITHIN_S):
            while not any(message["type"] == type for message in self.told):
                await asyncio.sleep(0.01)

    async def moment(self) -> Heard:
        return Heard(*await self.page.evaluate(MOMENT))

    async def get(self, expression: str) -> Any:
        return await self.page.evaluate(f"() => {expression}")

    async def click_word(self, word: str) -> None:
        x, y = await self.page.evaluate(CENTRE_OF, word)
        await self.page.mouse.click(x, y)

    def spoken(self) -> list[dict[str, Any]]:
        """Every `speak` that was said, in order."""
        return [message for message in self.said if message["type"] == "speak"]

    async def notice(self) -> str:
        """What the page says above the player."""
        return str(await self.page.inner_text("#notice p"))

    def _on_console(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"} and not any(harmless in text for harmless in self._harmless):
            self.complaints.append(text)

    def _on_socket(self, socket: WebSocket) -> None:
        self.sockets.append(socket)
        socket.on("framesent", lambda payload: self.said.append(json.loads(payload)))
        socket.on("framereceived", self._on_received)

    def _on_received(self, payload: str | bytes) -> None:
        if isinstance(payload, str):
            self.told.append(json.loads(payload))
            return
        audio = unpack_audio(payload)
        self.frames.append((audio.channel, audio.seq, len(audio.packets)))
