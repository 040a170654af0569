from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest

from voicewire.engines.connection import Connection, PoolGone
from voicewire.engines.handoff import Decoder, Made, Message, Rouse, Submit, serialize
from voicewire.engines.tone import open_engine
from voicewire.rehearsal import Rehearsal
from voicewire.render import Chain, Encoders, render
from voicewire.types import Format, Job, Utterance
from voicewire.worker import Worker

JOB = Job(Utterance("Hello there.", "middle"), Format(), 100)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def worked(pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch, *messages: Message) -> list[str]:
    """Have a worker take messages that come together, and then the end; return what it did."""
    ours, theirs = pair
    did: list[str] = []
    monkeypatch.setattr(Rehearsal, "run", lambda _: did.append("rehearsed"))
    ours.sendall(b"".join(map(serialize, messages)))
    ours.shutdown(socket.SHUT_WR)
    with pytest.raises(PoolGone):
        Worker(open_engine(), Connection(theirs)).run()
    theirs.close()
    answer = b"".join(iter(lambda: ours.recv(1 << 16), b""))
    did += ["made" for message in Decoder().push(answer) if isinstance(message, Made) and message.slice.last]
    return did


def test_a_worker_at_rest_rehearses_when_it_is_roused(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert worked(pair, monkeypatch, Rouse()) == ["rehearsed"]


@pytest.mark.parametrize("messages", [(Rouse(), Submit(1, JOB, 0.0)), (Submit(1, JOB, 0.0), Rouse())])
def test_a_job_that_is_there_waits_for_no_rehearsal(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch, messages: tuple[Message, ...]
) -> None:
    assert "rehearsed" not in worked(pair, monkeypatch, *messages)


def test_it_asks_no_engine_and_leaves_nothing_in_the_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, encoders, leased = open_engine(), Encoders(), list[Format]()
    lease = encoders.lease

    def note(in_hz: int, wanted: Format) -> AbstractContextManager[Chain]:
        leased.append(wanted)
        return lease(in_hz, wanted)

    monkeypatch.setattr(encoders, "lease", note)
    monkeypatch.setattr(engine, "synthesize", None)
    Rehearsal(engine, encoders).run()
    assert leased == [Format()]
    assert [*render(open_engine(), JOB, encoders)] == [*render(open_engine(), JOB, Encoders())]
