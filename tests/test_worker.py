from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from voicewire.engines.base import EngineSpec
from voicewire.engines.handoff import (
    Cancel,
    Cancelled,
    Decoder,
    Failed,
    Halved,
    Hello,
    Made,
    Message,
    Open,
    Postpone,
    Submit,
    serialize,
)
from voicewire.engines.strain import WINDOW_S
from voicewire.engines.tone import open_engine
from voicewire.errors import BadRequest, EngineFailed
from voicewire.render import Encoders, render
from voicewire.types import Codec, Format, Job, Slice, Utterance

TONE = "voicewire.engines.tone:open_engine"
LONG = "one two three four five six seven eight nine ten " * 8


class Peer:
    """The pool's side, by hand: a real worker process at the other end of a real socket."""

    def __init__(self, factory: str, **options: str | float | bool) -> None:
        self.sock, there = socket.socketpair()
        self.sock.settimeout(30)
        with there:
            command = [sys.executable, "-m", "voicewire.worker", "--fd", str(there.fileno())]
            self.process = subprocess.Popen(command, pass_fds=(there.fileno(),), stderr=subprocess.PIPE)
        self._decoder = Decoder()
        self._arrived: list[Message] = []
        self.send(Open(EngineSpec(factory, options)))

    def send(self, *messages: Message) -> None:
        self.sock.sendall(b"".join(map(serialize, messages)))

    def receive(self) -> Message | None:
        """The next message; None at the end."""
        while not self._arrived:
            data = self.sock.recv(1 << 16)
            if not data:
                return None
            self._arrived += self._decoder.push(data)
        return self._arrived.pop(0)

    def until(self, wanted: Callable[[Message], bool]) -> list[Message]:
        """All messages up to the first that is wanted."""
        messages: list[Message] = []
        while not messages or not wanted(messages[-1]):
            message = self.receive()
            assert message is not None, "the worker ended too early"
            messages.append(message)
        return messages

    def last_words(self) -> str:
        """Wait for the end; what was written to stderr."""
        while self.receive():
            pass
        return self.process.communicate(timeout=30)[1].decode()

    def close(self) -> None:
        self.sock.close()
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    peers: list[Peer] = []

    def start(factory: str = TONE, **options: str | float | bool) -> Peer:
        peers.append(Peer(factory, **options))
        return peers[-1]

    yield start
    for peer in peers:
        peer.close()


def job(text: str = "Hello there.", voice: str = "middle") -> Job:
    return Job(Utterance(text, voice), Format(), 100)


def ended(*ids: int) -> Callable[[Message], bool]:
    """Whether a message ends the last of these jobs."""
    left = set(ids)

    def check(message: Message) -> bool:
        if isinstance(message, Failed | Cancelled) or (isinstance(message, Made) and message.slice.last):
            left.discard(message.id)
        return not left

    return check


def order_of_ends(messages: list[Message]) -> list[int]:
    return [message.id for message in messages if isinstance(message, Made) and message.slice.last]


def test_it_announces_its_engine_and_makes_what_render_makes(peer: Callable[..., Peer]) -> None:
    worker = peer()
    hello = worker.receive()
    assert isinstance(hello, Hello)
    assert hello.model == open_engine().model
    assert hello.voices == tuple(open_engine().voices())
    worker.send(Submit(1, job(LONG), 0.0))
    slices = [message.slice for message in worker.until(ended(1)) if isinstance(message, Made)]
    assert slices == [slice for slice in render(open_engine(), job(LONG), Encoders()) if slice != Slice([], (), False)]


def test_the_earliest_deadline_goes_first_whenever_it_comes(peer: Callable[..., Peer]) -> None:
    worker = peer(rtf=0.01)
    worker.receive()
    worker.send(Submit(1, job(LONG), 30.0), Submit(2, job(LONG), 20.0), Submit(3, job(LONG), 25.0))
    worker.until(lambda message: isinstance(message, Made))
    worker.send(Submit(4, job(LONG), 10.0))
    assert order_of_ends(worker.until(ended(1, 2, 3, 4))) == [4, 2, 3, 1]


def test_a_postponed_job_lets_others_go_first(peer: Callable[..., Peer]) -> None:
    worker = peer(rtf=0.01)
    worker.receive()
    worker.send(Submit(1, job(LONG), 10.0), Submit(2, job(LONG), 20.0))
    worker.until(lambda message: isinstance(message, Made))
    worker.send(Postpone(1, 30.0))
    assert order_of_ends(worker.until(ended(1, 2))) == [2, 1]


def test_where_nobody_will_run_dry_soon_a_block_is_made_to_its_end(peer: Callable[..., Peer]) -> None:
    made: list[list[int]] = []
    for _ in range(3):  # a step that the machine holds up for long counts as a slow one, and blocks take turns then
        worker = peer()
        worker.receive()
        later = time.monotonic() + 100.0
        worker.send(Submit(1, job(LONG), later), Submit(2, job(LONG), later + 0.05))
        made.append([message.id for message in worker.until(ended(1, 2)) if isinstance(message, Made)])
        assert len(made[-1]) > 4
        if made[-1] == sorted(made[-1]):
            return
    pytest.fail(f"three times they took turns: {made}")


def test_who_runs_dry_goes_before_an_earlier_deadline(peer: Callable[..., Peer]) -> None:
    worker, packets = peer(rtf=0.02), 0
    worker.receive()
    worker.send(Submit(1, job(LONG), time.monotonic() - 1.0))
    while packets < 300:  # six seconds: its listener has enough now
        message = worker.receive()
        assert isinstance(message, Made)
        packets += len(message.slice.packets)
    worker.send(Submit(2, job(LONG), time.monotonic()))
    ids = [message.id for message in worker.until(ended(1)) if isinstance(message, Made)]
    assert 2 in ids


def test_what_is_made_slowly_is_sent_before_more_is_made(peer: Callable[..., Peer]) -> None:
    worker = peer(rtf=1.0, chunk_ms=400, hang_on="never")
    worker.receive()
    worker.send(Submit(1, job("one two never"), time.monotonic() + 1.5))
    worker.until(lambda message: isinstance(message, Made))


def test_at_its_limit_it_packs_no_takes_until_it_has_had_a_pause(peer: Callable[..., Peer]) -> None:
    worker = peer(lanes=8)
    worker.receive()
    wanted = replace(job(LONG), format=Format(Codec.PCM_S16LE, 24_000, 20), record=True)

    def taken(message: Message) -> bool:
        assert isinstance(message, Made)
        assert message.slice.recording != b""
        return message.slice.recording is not None

    worker.send(*(Submit(id, wanted, id) for id in range(1, 8)))  # more than one is always on its way
    for id in range(1, 5_000):
        worker.send(Submit(id + 7, wanted, id + 7))
        packed = taken(worker.until(ended(id))[-1])
        assert packed or id > 1
        if not packed:
            break
    assert not packed
    worker.until(ended(*range(id + 1, id + 8)))
    time.sleep(1.5 * WINDOW_S)
    worker.send(Submit(id + 8, wanted, 0.0))
    assert taken(worker.until(ended(id + 8))[-1])


def test_a_cancelled_job_ends_at_once_and_frees_its_lane(peer: Callable[..., Peer]) -> None:
    worker = peer(rtf=0.1, lanes=1, chunk_ms=100)
    worker.receive()
    worker.send(Submit(1, job(LONG), 0.0))
    made = worker.until(lambda message: isinstance(message, Made))
    worker.send(Cancel(1), Submit(2, job(), 0.0))
    messages = [*made, *worker.until(ended(2))]
    cancelled = messages.index(Cancelled(1))
    assert order_of_ends(messages) == [2]
    assert not any(isinstance(message, Made) and message.id == 1 for message in messages[cancelled:])
    assert sum(isinstance(message, Made) and message.id == 1 for message in messages) <= 3


def test_a_cancel_that_comes_too_late_is_answered_too(peer: Callable[..., Peer]) -> None:
    worker = peer()
    worker.receive()
    worker.send(Submit(1, job(), 0.0))
    worker.until(ended(1))
    worker.send(Cancel(1), Postpone(1, 3.0))
    assert worker.receive() == Cancelled(1)


def test_a_failed_job_is_reported_and_the_next_is_made(peer: Callable[..., Peer]) -> None:
    worker = peer(fail_on="bad")
    worker.receive()
    worker.send(Submit(1, job("good bad"), 0.0), Submit(2, job(voice="nobody"), 1.0), Submit(3, job(), 2.0))
    messages = worker.until(ended(1, 2, 3))
    errors = {message.id: message.error for message in messages if isinstance(message, Failed)}
    assert isinstance(errors[1], EngineFailed)
    assert isinstance(errors[2], BadRequest)
    assert errors[2].fields == {"voice": "nobody"}
    assert order_of_ends(messages) == [3]


def test_it_ends_when_the_pool_does(peer: Callable[..., Peer]) -> None:
    worker = peer(rtf=1.0)
    worker.receive()
    worker.send(Submit(1, job(LONG), 0.0))
    worker.until(lambda message: isinstance(message, Made))
    worker.sock.shutdown(socket.SHUT_RDWR)
    assert worker.last_words() == ""
    assert worker.process.returncode == 0


def test_an_interrupt_is_left_to_the_gateway(peer: Callable[..., Peer]) -> None:
    worker = peer()
    worker.receive()
    os.kill(worker.process.pid, signal.SIGINT)
    worker.send(Submit(1, job(), 0.0))
    assert order_of_ends(worker.until(ended(1))) == [1]


@pytest.mark.parametrize("busy", [True, False])
def test_it_ends_what_is_open_when_told_to_terminate(peer: Callable[..., Peer], busy: bool) -> None:
    worker = peer(rtf=0.01)
    worker.receive()
    if busy:
        worker.send(Submit(1, job(LONG), 0.0))
        worker.until(lambda message: isinstance(message, Made))
    os.kill(worker.process.pid, signal.SIGTERM)
    if busy:
        assert order_of_ends(worker.until(ended(1))) == [1]
    assert worker.last_words() == ""
    assert worker.process.returncode == 0


def test_an_engine_that_cannot_be_opened_says_why(peer: Callable[..., Peer]) -> None:
    worker = peer(TONE, pitch="high")
    failed = worker.receive()
    assert isinstance(failed, Failed)
    assert "pitch" in str(failed.error.fields["problem"])
    assert "Traceback" in worker.last_words()


def test_an_error_that_no_engine_declares_ends_the_process(peer: Callable[..., Peer]) -> None:
    worker = peer()
    worker.receive()
    worker.send(Submit(1, Job(Utterance("Hello.", "middle", speed=0.0), Format()), 0.0))
    assert "ZeroDivisionError" in worker.last_words()
    assert worker.process.returncode == 1


def batched(peer: Callable[..., Peer], **options: str | float) -> Peer:
    """A worker whose engine speaks three at once; it has begun with job 0, alone, and is kept by it for a while."""
    worker = peer(lanes=8, batch=3, delay_s=0.3, **options)
    worker.receive()
    worker.send(Submit(0, job("Hello."), 0.0))
    return worker


def test_jobs_that_wait_are_spoken_in_one_pass_and_sound_as_alone(peer: Callable[..., Peer]) -> None:
    worker = batched(peer, fail_on="bad")
    texts = {1: "Hello there, world.", 2: "Good morning all.", 3: "Good bad and more.", 4: "How do you do?"}
    worker.send(*(Submit(id, job(text), 5.0 - id) for id, text in texts.items()))
    messages = worker.until(ended(0, *texts))
    assert order_of_ends(messages) == [0, 4, 2, 1]  # three by their deadlines, then the last
    assert [message.id for message in messages if isinstance(message, Failed)] == [3]
    for id in (1, 2, 4):
        slices = [message.slice for message in messages if isinstance(message, Made) and message.id == id]
        alone = [slice for slice in render(open_engine(), job(texts[id]), Encoders()) if slice != Slice([], (), False)]
        assert [packet for slice in slices for packet in slice.packets] == [
            packet for slice in alone for packet in slice.packets
        ]
        assert [word for slice in slices for word in slice.words] == [word for slice in alone for word in slice.words]


def test_memory_that_runs_out_halves_a_batch_and_is_told(peer: Callable[..., Peer]) -> None:
    worker = batched(peer, memory=1)
    worker.send(*(Submit(id, job(), 1.0) for id in (1, 2, 3)))
    messages = worker.until(ended(0, 1, 2, 3))
    assert sorted(order_of_ends(messages)) == [0, 1, 2, 3]
    assert sum(message.times for message in messages if isinstance(message, Halved)) >= 2


def test_a_row_that_is_cancelled_leaves_the_others_of_its_batch(peer: Callable[..., Peer]) -> None:
    worker = batched(peer, rtf=0.5)
    worker.send(*(Submit(id, job("One two three four five six seven."), float(id)) for id in (1, 2, 3)))
    worker.until(lambda message: isinstance(message, Made) and message.id == 1)
    worker.send(Cancel(1), Cancel(3))
    messages = worker.until(ended(1, 2, 3))
    assert order_of_ends(messages) == [2]
    assert not any(isinstance(message, Made) and message.id == 3 for message in messages)
    worker.send(Submit(4, job(), 9.0))
    assert order_of_ends(worker.until(ended(4))) == [4]
