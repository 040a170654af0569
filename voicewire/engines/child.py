"""A worker process as its pool sees it: started, connected, heard, ended."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from voicewire.engines.base import EngineSpec
from voicewire.engines.handoff import Decoder, Failed, Hello, Malformed, Message, Open, serialize
from voicewire.errors import EngineFailed

START_S = 180.0  # importing torch and reading a model from a cold disk
END_S = 2.0  # to leave by itself once its socket is closed
LINE_BYTES = 2_000  # of what it writes to stderr, per line

PLACE = re.compile(r'Traceback |  File "|During handling |The above exception ')
KIND = re.compile(r"[A-Za-z_.]*(Error|Exception|Warning|Interrupt|Failed|Gone)\b")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Launch:
    """How workers are started. `env` is a worker's whole environment; None: the same as here."""

    spec: EngineSpec
    command: Sequence[str]
    nice: int
    env: Mapping[str, str] | None


class Child(asyncio.Protocol):
    """One process and the connection to it.

    `receive` gets every message after the hello, and `lose` is called when the connection ends, both
    straight from the transport.
    """

    def __init__(self, receive: Callable[[Message], None], lose: Callable[[], None]) -> None:
        self._receive = receive
        self._lose = lose
        self._decoder = Decoder()
        self._transport: asyncio.Transport | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._log: asyncio.Task[None] | None = None
        self._hello: asyncio.Future[Hello] = asyncio.get_running_loop().create_future()
        self._lost = asyncio.Event()
        self._last_line = ""

    async def start(self, launch: Launch) -> None:
        """Start the process and ask for its engine. Raises `EngineFailed` when the system gives us none."""
        try:
            here, there = socket.socketpair()
            with there:
                await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=here)
                self._process = await self._spawn(launch, there.fileno())
        except OSError as error:
            raise EngineFailed(problem=str(error)) from error
        self._log = asyncio.create_task(self._read_log(), name=f"log of worker {self._process.pid}")
        self.send(serialize(Open(launch.spec, launch.nice)))

    @staticmethod
    async def _spawn(launch: Launch, fd: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *launch.command,
            "--fd",
            str(fd),
            pass_fds=(fd,),
            env=launch.env,
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )

    async def hello(self) -> Hello:
        """Wait until the engine is open. Raises `EngineFailed` with the worker's own words."""
        try:
            async with asyncio.timeout(START_S):
                return await self._hello
        except TimeoutError:
            raise EngineFailed(problem=f"the worker did not start within {START_S:g} s") from None
        except ConnectionError:
            await self.end()
            raise EngineFailed(problem=self._last_line or "the worker ended without a word") from None

    async def lost(self) -> None:
        """Wait until the connection has ended."""
        await self._lost.wait()

    def send(self, data: bytes) -> None:
        """Send a serialized message; nothing happens when the connection has ended."""
        if self._transport and not self._transport.is_closing():
            self._transport.write(data)

    def kill(self) -> None:
        """End the process now."""
        assert self._process
        if self._process.returncode is None:
            self._process.kill()

    async def end(self) -> None:
        """Close the connection; see that the process ends and its last words are read. May be called again."""
        if self._transport:
            self._transport.close()
        if not self._process or not self._log:
            return
        try:
            async with asyncio.timeout(END_S):
                await self._process.wait()
        except TimeoutError:
            logger.warning("worker %d does not end; it is killed", self._process.pid)
        self.kill()
        await self._process.wait()
        await asyncio.wait({self._log})  # and not the task itself, which a cancelled caller would cancel

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._decoder.push(data):
                self._take(message)
        except Malformed:
            logger.exception("a worker sent what cannot be read")
            assert self._transport
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the name is asyncio's
        if not self._hello.done():
            self._hello.set_exception(ConnectionResetError())
            self._hello.exception()  # nobody waits for it when the start was cancelled
        self._lost.set()
        self._lose()

    def _take(self, message: Message) -> None:
        if self._hello.done():
            self._receive(message)
        elif isinstance(message, Hello):
            self._hello.set_result(message)
        elif isinstance(message, Failed):
            self._hello.set_exception(message.error)

    async def _read_log(self) -> None:
        assert self._process
        assert self._process.stderr
        rest = b""
        while data := await self._process.stderr.read(LINE_BYTES):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines if len(rest) <= LINE_BYTES else [*lines, rest]:
                self._write_log(line)
            rest = rest if len(rest) <= LINE_BYTES else b""
        self._write_log(rest)

    @property
    def _speaks(self) -> bool:
        return self._hello.done() and not self._hello.cancelled() and self._hello.exception() is None

    def _write_log(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        if text:
            assert self._process
            self._last_line = text
            logger.warning("worker %d: %s", self._process.pid, _printable(text) if self._speaks else text)


def _printable(line: str) -> str:
    """Once a worker speaks, what a library prints may be the text: only where it failed, and how, is passed on."""
    if PLACE.match(line):
        return line
    kind = KIND.match(line)
    return kind[0] if kind else f"({len(line)} characters that may be somebody's text)"
