"""What waits for one peer, and when the peer has to go."""

from __future__ import annotations

from websockets.frames import Opcode

from voicewire.frames import BINARY_OPCODE, TEXT_OPCODE
from voicewire.server.live.outbox import GO_ON_BYTES, Outbox

LIMIT = 256 * 1024


class Peer:
    """A connection whose kernel takes nothing."""

    def __init__(self) -> None:
        self.written = b""
        self.buffered_bytes = 0
        self.stuck = False

    def write(self, data: bytes) -> None:
        self.written += data


def test_messages_leave_together_and_in_order() -> None:
    peer = Peer()
    outbox = Outbox(peer, LIMIT)
    outbox.put((TEXT_OPCODE, b"{}"))
    outbox.put((BINARY_OPCODE, b"\0" * 200))
    assert not peer.written
    outbox.flush()
    assert peer.written == bytes((0x80 | Opcode.TEXT, 2)) + b"{}" + bytes((0x80 | Opcode.BINARY, 126, 0, 200)) + bytes(
        200
    )
    outbox.flush()
    assert len(peer.written) == 4 + 4 + 200


def test_a_peer_that_does_not_read_is_given_time_and_then_up() -> None:
    peer = Peer()
    outbox = Outbox(peer, LIMIT)
    assert not outbox.blocked(1.0)
    peer.stuck, peer.buffered_bytes = True, 70_000
    assert outbox.blocked(2.0)
    assert not outbox.hopeless(6.9, stall_s=5)
    assert outbox.hopeless(7.0, stall_s=5)


def test_a_peer_that_reads_again_starts_afresh() -> None:
    peer = Peer()
    outbox = Outbox(peer, LIMIT)
    peer.stuck, peer.buffered_bytes = True, 70_000
    assert outbox.blocked(2.0)
    peer.stuck, peer.buffered_bytes = False, GO_ON_BYTES
    assert not outbox.blocked(6.0)
    peer.stuck, peer.buffered_bytes = True, 70_000
    assert not outbox.hopeless(8.0, stall_s=5)


def test_too_much_at_once_is_hopeless_at_once() -> None:
    peer = Peer()
    peer.buffered_bytes = LIMIT + 1
    assert Outbox(peer, LIMIT).hopeless(0.0, stall_s=5)
