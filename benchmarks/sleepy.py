"""The program itself, with a tone engine that sleeps: `python -m benchmarks.sleepy RTF worker …`."""

from __future__ import annotations

import sys
from unittest import mock

from voicewire.__main__ import main
from voicewire.engines.base import EngineSpec
from voicewire.server import pools


def spec(factory: str, options: dict[str, str | int | float | bool]) -> EngineSpec:
    return EngineSpec(factory, options | {"rtf": float(sys.argv[1]), "chunk_ms": 500})


if __name__ == "__main__":
    with mock.patch.object(pools, "EngineSpec", spec):
        sys.exit(main(sys.argv[2:]))
