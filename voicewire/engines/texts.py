"""What engines that take any text of a caller make sure of before they pass it on."""

from __future__ import annotations

import re

CONTROLS = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def plain(text: str) -> str:
    """Blank, character for character, controls and lone surrogates: what no encoding or model takes."""
    return CONTROLS.sub(" ", text)


def sayable(text: str) -> bool:
    """Whether there is a letter or digit in `text`, of any script: others fail over nothing, or make something up."""
    return any(map(str.isalnum, text))
