"""Plain tables for a terminal or a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TextIO

from voicewire.commands.terminal import printable, width

GAP = "  "


def write_table(heads: Sequence[str], rows: Sequence[Sequence[str]], out: TextIO) -> None:
    """Write `rows` under `heads`, each column as wide as its widest cell."""
    cells = [[printable(cell) for cell in row] for row in chain([heads], rows)]
    widths = [max(map(width, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = (cell + " " * (most - width(cell)) for cell, most in zip(row, widths, strict=True))
        out.write(GAP.join(padded).rstrip() + "\n")
