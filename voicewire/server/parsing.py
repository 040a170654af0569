"""JSON that strangers send, as one of our structs."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from voicewire.errors import BadRequest
from voicewire.frames import INVALID, problem_of

Kind = TypeVar("Kind")


def parse(data: str | bytes, kind: type[Kind]) -> Kind:
    """Return what `data` says, whose texts are valid Unicode. Raises `BadRequest` and nothing else."""
    try:
        return msgspec.json.decode(data, type=kind)
    except INVALID as error:
        raise BadRequest(problem=problem_of(error)) from error
