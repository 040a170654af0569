"""A double of an upstream: a real HTTP server on this machine that follows a protocol, and can be made to fail.

Its audio and the times in it are the tone engine's. `answer` is what it does with a request; tests replace it.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from voicewire.engines.tone import open_engine
from voicewire.types import Chunk, Utterance

WAIT_S = 20.0


class Asked(NamedTuple):
    """A request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # with names in lower case
    body: Any


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: UpstreamServer

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def json(self, content: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Answer with JSON."""
        self.whole(json.dumps(content).encode(), "application/json", status, headers)

    def whole(self, body: bytes, kind: str, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Answer with a body of a known length."""
        self.send_response(status)
        for name, value in ({"Content-Type": kind, "Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    @contextmanager
    def streamed(self, kind: str) -> Iterator[Callable[[bytes], None]]:
        """Answer piece by piece; what is yielded sends one. An exception inside breaks the connection off."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        yield lambda piece: self._piece(piece) if piece else None
        self._piece(b"")

    def _piece(self, piece: bytes) -> None:
        self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        self.wfile.flush()

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(
            self.command, parts.path, dict(parse_qsl(parts.query)), headers, json.loads(body) if body else None
        )
        self.server.asked.append(asked)
        try:
            self.server.answer(self, asked)
        except (BrokenPipeError, ConnectionResetError):
            self.server.left.set()
            self.close_connection = True
        except BreakOff:
            self.close_connection = True


class BreakOff(Exception):
    """The upstream dies in the middle of an answer."""


Answering = Callable[[Handler, Asked], None]


class UpstreamServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, answer: Answering) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.asked: list[Asked] = []
        self.connections = 0
        self.left = threading.Event()  # somebody closed while being answered
        self.go_on = threading.Event()  # what a test holds back

    def get_request(self) -> tuple[Any, Any]:
        self.connections += 1
        return super().get_request()

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that is reset between requests is nobody's mistake; anything else is."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # it only prints them

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def until_left(self, send: Callable[[bytes], None], piece: bytes) -> None:
        """Send `piece` again and again until whoever asked is gone."""
        for _ in range(int(WAIT_S / 0.02)):
            send(piece)
            if self.left.wait(0.02):
                return


@contextmanager
def serving(answer: Answering) -> Iterator[UpstreamServer]:
    server = UpstreamServer(answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.go_on.set()
        server.shutdown()
        thread.join(WAIT_S)
        server.server_close()


@lru_cache(maxsize=64)
def said(text: str, speed: float = 1.0, chunk_ms: int = 40) -> tuple[Chunk, ...]:
    """What the tone engine makes of `text`."""
    return tuple(open_engine(chunk_ms=chunk_ms).synthesize(Utterance(text, "middle", speed=speed)))
