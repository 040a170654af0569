"""What is known of a job: how it is to be spoken, how far it is, and how it ended."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Struct

from voicewire.auth.principal import Principal
from voicewire.codecs.base import FileKind
from voicewire.storage.store import Row
from voicewire.types import Offsets

ID_BYTES = 12

State = Literal["queued", "running", "done", "failed", "cancelled"]
Kind = Literal["speech", "batch"]
Told = Literal["waiting", "due", "delivered", "given_up"]
STATES: tuple[State, ...] = ("queued", "running", "done", "failed", "cancelled")
ACTIVE: frozenset[State] = frozenset({"queued", "running"})


class Manner(Struct, frozen=True):
    """How a text is to be spoken, and what file is wanted."""

    voice: str
    language: str
    speed: float
    seed: int | None
    format: FileKind
    rate_hz: int
    bitrate: int | None
    offsets: Offsets


class Wish(Struct, frozen=True):
    """One text that somebody wants spoken; `estimate_ms` is about how long it will sound."""

    name: str
    model: str
    manner: Manner
    text: str
    estimate_ms: int


class Asked(Struct, frozen=True):
    """A job that somebody asks for. `once` is the caller's name for the asking; `webhook` a URL or nothing."""

    kind: Kind
    caller: Principal
    wishes: tuple[Wish, ...]
    once: str
    webhook: str

    @property
    def sha256(self) -> str:
        """What was asked, without who did."""
        told = (self.kind, [(each.name, each.model, each.manner, each.text) for each in self.wishes], self.webhook)
        return hashlib.sha256(msgspec.json.encode(told)).hexdigest()


class Item(Struct, frozen=True):
    """One text that was taken up. `epoch` is the claim: who has an older one has lost the text."""

    job: str
    number: int
    caller: Principal
    model: str
    manner: Manner
    text: str
    epoch: int
    tries: int
    blocks: tuple[int, ...]
    samples: int
    words_bytes: int

    @classmethod
    def of(cls, row: Row) -> Item:
        return cls(
            row["job"],
            row["number"],
            msgspec.convert(row["caller"], Principal),
            row["model"],
            msgspec.convert(row["manner"], Manner),
            row["text"],
            row["epoch"],
            row["tries"],
            tuple(row["blocks"]),
            row["samples"],
            row["words_bytes"],
        )

    def stream(self, part: int) -> str:
        """What a part is billed as, however often it is begun."""
        return f"{self.job}.{self.number}.{part}"


class Script(Struct, frozen=True):
    """A text and how it is to be spoken."""

    text: str
    model: str
    manner: Manner


class ItemState(Struct, frozen=True):
    """What a caller is told of one text."""

    number: int
    name: str
    state: State
    estimate_ms: int
    done_ms: int
    size_bytes: int
    sha256: str
    error: str
    reason: str
    format: FileKind
    rate_hz: int

    @classmethod
    def of(cls, row: Row) -> ItemState:
        manner = msgspec.convert(row["manner"], Manner)
        fields = {name: row[name] for name in cls.__struct_fields__ if name not in {"format", "rate_hz"}}
        return cls(**fields, format=manner.format, rate_hz=manner.rate_hz)


class Webhook(Struct, frozen=True):
    """How the telling stands."""

    url: str
    state: Told
    tries: int
    status: int


class Job(Struct, frozen=True):
    """What a caller is told of a job. `counts` has every state; `error` and `reason` are the first failed text's."""

    id: str
    kind: Kind
    state: State
    created: datetime
    started: datetime | None
    finished: datetime | None
    expires: datetime
    counts: dict[State, int]
    done_ms: int
    total_ms: int
    files: int
    error: str
    reason: str
    webhook: Webhook | None

    @classmethod
    def of(cls, row: Row) -> Job:
        counts = dict.fromkeys(STATES, 0) | row["counts"]
        webhook = row["webhook"] and msgspec.convert(row["webhook"], Webhook)
        fields = {name: row[name] for name in cls.__struct_fields__ if name not in {"counts", "webhook"}}
        return cls(**fields, counts=counts, webhook=webhook or None)


def new_job_id() -> str:
    """Return an id that nobody guesses."""
    return f"j_{secrets.token_urlsafe(ID_BYTES)}"


def new_message_id() -> str:
    """Return an id of a message; a message keeps it through all tries."""
    return f"msg_{secrets.token_urlsafe(ID_BYTES)}"
