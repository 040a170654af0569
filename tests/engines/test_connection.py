from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from voicewire.engines.connection import HELD_BYTES, Connection, PoolGone
from voicewire.engines.handoff import Cancelled, Decoder, Made, Message
from voicewire.types import Slice

SMALL, LARGE = Made(1, Slice([b"abc"], (), False)), Made(1, Slice([bytes(HELD_BYTES)], (), False))


class Pool:
    """The other end."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._decoder = Decoder()

    def heard(self) -> list[Message]:
        """What has come by now."""
        messages: list[Message] = []
        try:
            while data := self.sock.recv(1 << 20, socket.MSG_DONTWAIT):
                messages += self._decoder.push(data)
        except BlockingIOError:
            pass
        return messages


@pytest.fixture
def ends() -> Iterator[tuple[Connection, Pool]]:
    here, there = socket.socketpair()
    with here, there:
        yield Connection(here), Pool(there)


def test_what_is_held_goes_in_order_with_what_follows(ends: tuple[Connection, Pool]) -> None:
    worker, pool = ends
    worker.hold(SMALL)
    worker.hold(SMALL)
    assert pool.heard() == []
    worker.send(Cancelled(2))
    assert pool.heard() == [SMALL, SMALL, Cancelled(2)]


def test_what_is_held_can_be_sent_by_itself_once_it_has_been_held_long_enough(ends: tuple[Connection, Pool]) -> None:
    worker, pool = ends
    worker.hold(SMALL)
    worker.flush(1_000.0)
    assert pool.heard() == []
    worker.flush()
    worker.flush()
    assert pool.heard() == [SMALL]


def test_not_much_is_held(ends: tuple[Connection, Pool]) -> None:
    worker, pool = ends
    worker.hold(LARGE)
    assert pool.heard() == [LARGE]


def test_what_nobody_can_hear_ends_the_worker(ends: tuple[Connection, Pool]) -> None:
    worker, pool = ends
    worker.hold(SMALL)
    pool.sock.close()
    with pytest.raises(PoolGone):
        worker.flush()
