"""Sizes that a reader can hold in mind, and suppressions that say why."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.architecture.source import Module, Offence, functions

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
SUPPRESSION = re.compile(r"#\s*(noqa\b(?::\s*[A-Z0-9, ]+)?|type:\s*ignore(?:\[[a-z-, ]+\])?)(.*)")


def sizes_stay_readable(of: Module) -> Iterator[Offence]:
    lines = of.source.count("\n")
    if lines > FILE_LINES_MAX:
        yield Offence(of.path, lines, f"has {lines} lines, {FILE_LINES_MAX} at most: split it by concept")
    for function in functions(of):
        length = (function.end_lineno or 0) - function.lineno + 1
        if length > FUNCTION_LINES_MAX:
            yield Offence(of.path, function.lineno, f"{function.name} has {length} lines, {FUNCTION_LINES_MAX} at most")


def suppressions_give_their_reason(of: Module) -> Iterator[Offence]:
    for line, text in enumerate(of.source.splitlines(), 1):
        found = SUPPRESSION.search(text)
        if found and not (re.search(r"noqa:|ignore\[", found[1]) and re.search(r"[a-z]{2}", found[2])):
            yield Offence(of.path, line, f"suppresses a check without its code and a reason: {found[0]}")
