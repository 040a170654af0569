"""A block on its way through Redis."""

from __future__ import annotations

import math

import msgspec

from voicewire.engines.handoff import Decoder, Failed, Made, Malformed
from voicewire.types import Job, Priority

BODY_BYTES_MAX = 1 << 20
DUE_S = 1.0  # a listener who runs dry so soon goes before those who still have something to hear


class Order(msgspec.Struct, frozen=True, array_like=True):
    """What a gateway wants made, and for whom."""

    job: Job
    tenant: str
    priority: Priority
    weight: float


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Order)


def serialize(order: Order) -> bytes:
    """Raises `ValueError` for text that is not Unicode, or too long."""
    body = _encoder.encode(order)
    if len(body) > BODY_BYTES_MAX:
        raise ValueError(f"a block of {len(body)} bytes is too large")
    return body


def parse(body: bytes) -> Order:
    """Raises `ValueError` for what a gateway of another release may have sent."""
    try:
        return _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error


def parse_answer(message: bytes) -> Made | Failed:
    """Raises `Malformed`."""
    for found in Decoder().push(message):
        if isinstance(found, Made | Failed):
            return found
    raise Malformed("an answer that is neither a slice nor a failure")


def rung_of(priority: Priority, left_s: float | None) -> str:
    """The queue in which a block waits that is due in so many seconds; None: never."""
    if priority is Priority.LIVE:
        return "due" if left_s is not None and left_s <= DUE_S else "live"
    return priority.name.lower()


def left_of(deadline: float, now: float) -> float | None:
    """Seconds until a deadline on this machine's clock; None where there is none."""
    return None if deadline == math.inf else deadline - now
