"""Bodies of 200 MB at every door of a real server: how much of them it reads, as the system counts it."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.conftest import Served, started
from voicewire.server.requests import QUIET_PATHS
from voicewire.storage.embedded import holder

SIZE = 200 * 1024 * 1024
LIMIT = 1024 * 1024  # `body_bytes_max`
READ_MAX = LIMIT + 3 * 256 * 1024  # libuv reads so much at once: beyond the limit, behind it, and before the end
PIECE = b"a" * 65_536
CHUNK = b"10000\r\n" + PIECE + b"\r\n"
WAIT_S = 20
ELSEWHERE = [
    ("POST", "/"), ("GET", "/reader/app.js"), ("POST", "/nothing"), ("POST", "/v1/nothing"), ("PUT", "/health"),
    ("POST", "/metrics"), ("POST", "/v1/stream"), ("GET", "/v1/stream"), ("POST", "/account/"), ("GET", "/docs"),
]  # fmt: skip
EXPECTED = ('"level":"info"', "not heard: ConnectionError")  # the latter of a Redis that a busy machine starves
VENDORS = [
    ("POST", "/v1/audio/speech"), ("POST", "/tts/bytes"), ("POST", "/tts/sse"), ("POST", "/v1/text-to-speech/x"),
    ("POST", "/v1/speak"), ("POST", "/v2/speak"), ("POST", "/v1/twilio/voice"),
]  # fmt: skip


class Sender(NamedTuple):
    """Somebody who sends a body: `key` empty for a stranger, `declared` whether its length is told."""

    key: str
    declared: bool

    def head(self, method: str, path: str, size: int = SIZE) -> bytes:
        who = f"X-API-Key: {self.key}" if self.key else "X-Forwarded-For: 192.0.2.1"
        length = f"Content-Length: {size}" if self.declared else "Transfer-Encoding: chunked"
        lines = (f"{method} {path} HTTP/1.1", "Host: x", who, "Content-Type: application/json", length)
        return "\r\n".join(lines).encode() + b"\r\n\r\n"

    def push(self, port: int, head: bytes) -> bytes:
        """Send without reading, until the other end has had enough; return its answer."""
        with socket.create_connection(("127.0.0.1", port), WAIT_S) as connection:
            connection.sendall(head)
            block, sent, answer = PIECE if self.declared else CHUNK, 0, b""
            try:
                while sent < SIZE:
                    sent += connection.send(block[sent % len(block) :])
            except ConnectionError:
                pass
            assert sent < SIZE, "all of it was taken"
            try:
                while data := connection.recv(65_536):
                    answer += data
            except ConnectionError:
                pass
            return answer


def read_by(pid: int) -> int:
    """How many bytes a process has read, from files, pipes and sockets: proc_pid_io(5)."""
    found = re.search(r"rchar: (\d+)", Path(f"/proc/{pid}/io").read_text())
    assert found
    return int(found[1])


def doors(served: Served) -> Iterator[tuple[str, str]]:
    """Every operation of the API, and what stands beside it."""
    paths = httpx.get(f"{served.url}/openapi.json", trust_env=False, timeout=WAIT_S).json()["paths"]
    for path, operations in paths.items():
        for method in operations:
            yield method.upper(), re.sub(r"{.*?}", "x", path)
    yield from ELSEWHERE


def mistakes(served: Served) -> list[str]:
    page = httpx.get(f"{served.url}/metrics", headers={"X-API-Key": served.key}, trust_env=False, timeout=WAIT_S).text
    return re.findall(r'^voicewire_errors_total\{code="internal"\} .*', page, re.MULTILINE)


def test_of_200_megabytes_at_any_door_about_one_is_read(served: Served) -> None:
    """Also when the length is not told, and for somebody who does not read while writing."""
    pid, port = holder(served.data_dir), int(served.url.rsplit(":", 1)[1])
    assert pid is not None
    before, reads = mistakes(served), []
    for method, path in doors(served):
        for sender in (Sender(served.key, declared=False), Sender("", declared=True)):
            begin = read_by(pid)
            sender.push(port, sender.head(method, path))
            reads.append(read_by(pid) - begin)
            assert reads[-1] <= READ_MAX, (method, path, sender)
    assert max(reads) > LIMIT, "what is read was not counted"
    assert mistakes(served) == before


@pytest.mark.parametrize("declared", [True, False])
def test_who_sends_too_much_is_told(served: Served, declared: bool) -> None:
    sender = Sender(served.key, declared)
    answer = sender.push(int(served.url.rsplit(":", 1)[1]), sender.head("POST", "/v1/tts"))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"too_large"' in answer


def test_who_leaves_with_half_a_body_is_worth_a_line(tmp_path: Path) -> None:
    """Else anybody could fill the log: Twilio's door, for one, asks for no key before it has read."""
    path = tmp_path / "log"
    with path.open("wb") as log, started({"VOICEWIRE_LOG_FORMAT": "json"}, log=log) as served:
        port = int(served.url.rsplit(":", 1)[1])
        known, stranger = Sender(served.key, declared=True), Sender("", declared=True)
        tried = [(who, door) for door in [*VENDORS, *doors(served)] for who in (known, stranger)]
        tried = [(who, door) for who, door in tried if door[0] != "GET" and door[1] not in QUIET_PATHS]
        for who, door in tried:
            with socket.create_connection(("127.0.0.1", port), WAIT_S) as connection:
                connection.sendall(who.head(*door, size=500) + b'{"text":')
        _await_requests(path, len(tried))
        assert mistakes(served) == []
    said = path.read_text(encoding="utf-8").splitlines()  # of a server that has ended: there is nothing to come
    assert [line for line in said if not any(each in line for each in EXPECTED)] == []


def _await_requests(log: Path, count: int) -> None:
    deadline = time.monotonic() + WAIT_S
    while log.read_text(encoding="utf-8").count('"event":"request"') < count:
        assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
        time.sleep(0.02)
