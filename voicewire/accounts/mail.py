"""Sends mail in the background: over SMTP, or into a folder where none is set. Nobody waits for a mail server.

What waits is bounded; what a server refuses for now is tried again, and what it refuses for good is counted and
dropped. No log line holds an address or a link.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from pathlib import Path
from typing import Protocol

from voicewire.errors import Busy

LOGGER = logging.getLogger(__name__)

WAITING_MAX = 1_000
SENDERS = 4  # a server that stalls one must not stall all
PAUSES_S = (2.0, 15.0, 60.0, 300.0)  # before each further try
CLOSE_S = 5.0
RETRY_MS = 5_000
FILES_MAX = 1_000
FOLDER = "mail"


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail: what it is for, to whom, and what it says, as text and as HTML."""

    purpose: str
    to: str
    subject: str
    text: str
    html: str


Make = Callable[[], Awaitable[Letter | None]]
"""Writes a letter when its turn has come, or finds that none is needed. Raises `Busy` to be asked again."""


class Refused(Exception):
    """The server will never take this mail. Holds the status, not what the server wrote, which repeats addresses."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")


class NotSent(Exception):
    """It did not work this time; the message is the kind of failure."""


class Carrier(Protocol):
    """Takes a mail to where it is read."""

    async def carry(self, message: EmailMessage, /) -> None:
        """Raises `Refused` or `NotSent`."""
        ...


class FileCarrier:
    """A folder of `.eml` files, the latest thousand: for whoever has no mail server, and for tests."""

    def __init__(self, folder: Path, files_max: int = FILES_MAX) -> None:
        self._folder = folder
        self._files_max = files_max

    async def carry(self, message: EmailMessage, /) -> None:
        try:
            await asyncio.to_thread(self._write, bytes(message))
        except OSError as error:
            raise NotSent(type(error).__name__) from error

    def _write(self, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self._folder / f".{secrets.token_hex(8)}"
        temporary.touch(mode=0o600)
        temporary.write_bytes(content)
        temporary.rename(self._folder / f"{time.time_ns()}-{secrets.token_hex(2)}.eml")
        for old in sorted(self._folder.glob("*.eml"))[: -self._files_max]:
            old.unlink(missing_ok=True)


class Mailer:
    """Takes letters at once, and has `carrier` carry them while `run` runs: once for each sender, side by side."""

    def __init__(
        self,
        carrier: Carrier,
        sender: str,
        pauses_s: Sequence[float] = PAUSES_S,
        waiting_max: int = WAITING_MAX,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._carrier = carrier
        self._sender = sender
        self._pauses_s = pauses_s
        self._clock = clock
        self._waiting: asyncio.Queue[Letter | Make] = asyncio.Queue(waiting_max)
        self._in_hand = 0
        self.sent = 0
        self.lost = 0

    @property
    def waiting(self) -> int:
        """Letters that are not sent yet, those that senders have in hand among them."""
        return self._waiting.qsize() + self._in_hand

    def post(self, letter: Letter | Make) -> None:
        """Take a letter, or what will write it. Raises `Busy` when too many wait."""
        try:
            self._waiting.put_nowait(letter)
        except asyncio.QueueFull:
            raise Busy(retry_after_ms=RETRY_MS) from None

    async def run(self) -> None:
        """Send one letter after the other, until cancelled."""
        while True:
            waiting = await self._waiting.get()
            self._in_hand += 1
            try:
                await self._deliver(waiting)
            finally:
                self._in_hand -= 1
                self._waiting.task_done()

    async def drain(self, within_s: float = CLOSE_S) -> None:
        """Wait for what is waiting or under way, for a while; say what is left."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._waiting.join(), within_s)
        if unsent := self.waiting:
            LOGGER.warning("%d mails were not sent", unsent)

    async def _deliver(self, waiting: Letter | Make) -> None:
        pauses_s = iter(self._pauses_s)
        letter: Letter | None = None
        while True:
            try:
                letter = letter or await _written(waiting)
                if letter:
                    await self._carrier.carry(_message(letter, self._sender, self._clock()))
            except (Refused, NotSent, Busy) as failure:
                purpose = letter.purpose if letter else "further"
                pause_s = None if isinstance(failure, Refused) else next(pauses_s, None)
                if pause_s is None:
                    return self._give_up(purpose, failure)
                LOGGER.info("a %s mail waits %g s: %s", purpose, pause_s, failure)
                await asyncio.sleep(pause_s)
            else:
                self.sent += letter is not None
                return None

    def _give_up(self, purpose: str, reason: Exception) -> None:
        self.lost += 1
        LOGGER.error("a %s mail could not be sent: %s", purpose, reason)


def open_carrier(smtp_url: str, data_dir: Path) -> Carrier:
    """Return what carries mail under these settings."""
    if smtp_url:
        from voicewire.accounts.smtp import SmtpCarrier  # its library is not loaded where there is no mail server

        return SmtpCarrier(smtp_url)
    LOGGER.info("no mail server is set: mails, with the links in them, are left in %s", data_dir / FOLDER)
    return FileCarrier(data_dir / FOLDER)


def _message(letter: Letter, sender: str, now: datetime) -> EmailMessage:
    message = EmailMessage()
    message["From"] = sender
    message["To"] = letter.to
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2].rstrip(">"))
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no machine should answer
    # as it is wherever that can be: whoever reads the file itself finds links whole
    message.set_content(letter.text, cte="7bit" if letter.text.isascii() else "quoted-printable")
    message.add_alternative(letter.html, subtype="html")
    return message


async def _written(waiting: Letter | Make) -> Letter | None:
    return waiting if isinstance(waiting, Letter) else await waiting()
