"""A fuzz target for everything that parses what a stranger sent: `pip install atheris`, then
`python -m tests.fuzz.frames_target [corpus folder]` runs it with coverage feedback until it is stopped.
"""

from __future__ import annotations

import sys

from voicewire.errors import BadRequest
from voicewire.frames import Parser, serialize, unpack_audio

PARSER = Parser()


def target(data: bytes) -> None:
    """Parse `data` in every way; what is understood survives the wire, everything else is a bad request."""
    for parse in (PARSER.client, PARSER.server):
        try:
            message = parse(data)
        except BadRequest:
            continue
        assert parse(serialize(message)) == message
    try:
        audio = unpack_audio(data)
    except BadRequest:
        return
    assert sum(map(len, audio.packets)) <= len(data)


def main() -> None:
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
