"""An operator's own program, asked over HTTP what to say in a call: each thing that happens is posted, signed.

What it answers is spoken: `text/plain` while it comes in, so that a language model's words need not wait for its last;
or JSON, `{"text": "…", "interrupt": true}`. One thing is asked at a time, in the order in which they happened.
"""

from __future__ import annotations

import asyncio
import codecs
import itertools
import logging
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from voicewire import frames
from voicewire.errors import BadRequest, VoicewireError
from voicewire.server.jobs.outward import Outward, Refused
from voicewire.server.jobs.signing import headers, secret_for
from voicewire.server.parsing import parse
from voicewire.server.telephony.accounts import Account
from voicewire.server.telephony.call import Call
from voicewire.types import CallEvent

if TYPE_CHECKING:
    import httpx

LOGGER = logging.getLogger(__name__)

EVENTS_MAX = 32  # not yet asked of: then what happens is not told
END_EVENTS = 2  # that the call has ended, and that nothing follows
ANSWER_BYTES_MAX = 64 * 1024
ANSWER_S = 30.0
OK = 200
NOTHING = 204


class Answer(Struct):
    """What is to be said, as JSON."""

    text: str = ""
    interrupt: bool = False  # what is being said


class Hook:
    """Speaks for one call's webhook. `id` is no session's."""

    id = "webhook"

    def __init__(self, call: Call, account: Account, outward: Outward, pepper: bytes) -> None:
        self.tenant, self.key = call.tenant, account.books_under
        self._call, self._account, self._outward = call, account, outward
        self._secret = account.webhook_secret or secret_for(pepper, call.tenant, account.webhook)
        self._events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(EVENTS_MAX)
        self._numbers = itertools.count()
        self.happened("call.started")

    def happened(self, type: str, **data: Any) -> None:
        """Have the operator's program hear of something."""
        about = {"call": self._call.id, "account": self._call.account}
        try:
            self._events.put_nowait({"type": type, "timestamp": datetime.now(UTC), "data": {**about, **data}})
        except asyncio.QueueFull:
            LOGGER.warning("a webhook does not keep up with its call")

    def tell(self, message: frames.ServerMessage) -> None:
        """Tell what became of what was said."""
        match message:
            case frames.Call(event=CallEvent.DIGIT):
                self.happened("call.digit", digit=message.digit)
            case frames.Done():
                self.happened("call.spoken", context=message.context)
            case frames.Cancelled():
                self.happened("call.interrupted", context=message.context, heard=message.heard, unheard=message.unheard)
            case frames.Error():
                self.happened("call.failed", code=message.code, message=message.message)

    def over(self) -> None:
        """Tell of the end of the call, last."""
        while self._events.qsize() > EVENTS_MAX - END_EVENTS:  # there is always room for the end
            self._events.get_nowait()
        self.happened("call.ended")
        self._events.put_nowait(None)

    async def run(self) -> None:
        """Ask and speak, until the call is over."""
        while (event := await self._events.get()) is not None:
            try:
                async with asyncio.timeout(ANSWER_S):
                    await self._ask(event)
            except (Refused, OSError) as error:
                kind = str(error) if type(error) is ConnectionError else type(error).__name__
                LOGGER.warning("a call's webhook did not answer: %s", kind)
            except VoicewireError as error:
                LOGGER.warning("a call's webhook was not understood", extra={"code": error.row_code})

    async def _ask(self, event: dict[str, Any]) -> None:
        body = msgspec.json.encode(event)
        id = f"msg_{secrets.token_urlsafe(16)}"
        signed = headers(self._secret, id, int(time.time()), body)
        async with self._outward.ask(self._account.webhook, signed, body) as answer:
            if answer.status_code == NOTHING:
                return
            if answer.status_code != OK:
                raise BadRequest(problem=f"it answered {answer.status_code}")
            if answer.headers.get("content-type", "").startswith("text/plain"):
                await self._speak_as_it_comes(answer)
            else:
                await self._speak_json(answer)

    async def _speak_json(self, answer: httpx.Response) -> None:
        data = b""
        async for chunk in answer.aiter_bytes():
            data += chunk
            if len(data) > ANSWER_BYTES_MAX:
                raise BadRequest("too_large", limit=ANSWER_BYTES_MAX)
        said = parse(data, Answer) if data.strip() else Answer()
        if said.interrupt:
            self._call.hush(self)
        if said.text.strip():
            self._take(frames.Speak(self._name(), text=said.text, marks=self._account.marks, words=False))

    async def _speak_as_it_comes(self, answer: httpx.Response) -> None:
        name, text_of, size = self._name(), codecs.getincrementaldecoder("utf-8")("replace").decode, 0
        self._take(frames.Open(name, marks=self._account.marks, words=False))
        try:
            async for chunk in answer.aiter_bytes():
                size += len(chunk)
                if size > ANSWER_BYTES_MAX:
                    raise BadRequest("too_large", limit=ANSWER_BYTES_MAX)
                if text := text_of(chunk):
                    self._take(frames.Text(name, text))
        finally:
            self._call.end(self, name)

    def _take(self, message: frames.ClientMessage) -> None:
        self._call.take(self, message)

    def _name(self) -> str:
        return f"w{next(self._numbers)}"


class Hooks:
    """The webhooks of all calls of this gateway."""

    def __init__(self, outward: Outward, pepper: bytes) -> None:
        self._outward, self._pepper = outward, pepper
        self._tasks: set[asyncio.Task[None]] = set()

    def attend(self, call: Call, account: Account) -> None:
        """Have an account's webhook speak into a call."""
        hook = Hook(call, account, self._outward, self._pepper)
        call.join(hook)  # at once: the call may be over before the task has begun
        task = asyncio.create_task(hook.run(), name="webhook of a call")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            LOGGER.error("a call's webhook broke", exc_info=error)

    async def aclose(self) -> None:
        """End them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._outward.aclose()
