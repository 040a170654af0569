"""The marks that end clauses and sentences, and the pauses that fit them."""

from __future__ import annotations

import re
from typing import Final

# Sentence enders of the living scripts in the basic plane (Unicode: Sentence_Terminal).
SPACED_ENDERS: Final = ".!?…‼‽⁇⁈⁉⸮\u037e"  # end a sentence only before white space
WIDE_ENDERS: Final = "。！？｡．﹒﹖﹗։؞؟۔܀܁܂߹।॥။።፧፨᙮។៕᠃᠉᥄᥅᪨᪩᭞᭟᰻᰼᱾᱿꓿꘎꘏꛳꛷꡶꡷꣎꣏꤯꧈꧉꩝꩞꩟꫰꫱꯫།༎"
CLAUSE_MARKS: Final = ",;:–—،؛՝፣፤፥၊"
WIDE_CLAUSE_MARKS: Final = "，、；：､﹐﹑﹔﹕"
CLOSERS: Final = "\"'”’»›“)]}*_`~）］｝」』】》〉〕＂＇"
OPENERS: Final = "\"'“‘«‹„‚([{*_`~¿¡<>「『（【《〈"

PAUSE_MS: Final = {"cut": 30, "clause": 150, "sentence": 350, "paragraph": 650}

_BLANK_LINE: Final = re.compile(r"\n[^\S\n]*\n")


def pause_ms(text: str, *, heading: bool) -> int:
    """The silence that fits the punctuation at the end of `text`, at speed 1."""
    spoken = text.rstrip()
    gap = text[len(spoken) :]
    if "\n" in gap and (heading or _BLANK_LINE.search(gap)):
        return PAUSE_MS["paragraph"]
    mark = spoken.rstrip(CLOSERS)[-1:]
    if not mark:
        return PAUSE_MS["cut"]
    if mark in SPACED_ENDERS or mark in WIDE_ENDERS:
        return PAUSE_MS["sentence"]
    if mark in CLAUSE_MARKS or mark in WIDE_CLAUSE_MARKS or spoken.endswith(" -"):
        return PAUSE_MS["clause"]
    return PAUSE_MS["sentence" if "\n" in gap else "cut"]
