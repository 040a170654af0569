"""What the tables of clients say to change is what the run of `make interop` changes, to the last argument."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN = ROOT / "tests" / "interop" / "clients"
PAGES = ("README.md", "docs/clients.md")
CALLS = {"deepgram_sdk.py": "DeepgramClientEnvironment", "deepgram_old.py": "DeepgramClientOptions"}


def arguments(call: ast.Call) -> set[str]:
    return {str(each.arg) for each in call.keywords}


def as_run(program: str, name: str) -> set[str]:
    tree = ast.parse((RUN / program).read_text())
    calls = [each for each in ast.walk(tree) if isinstance(each, ast.Call)]
    return set().union(*(arguments(call) for call in calls if isinstance(call.func, ast.Name) and call.func.id == name))


@pytest.mark.parametrize(("program", "name"), CALLS.items())
def test_what_is_shown_of_deepgrams_package_is_complete(program: str, name: str) -> None:
    shown = [call for page in PAGES for call in re.findall(rf"{name}\(.*?\)", (ROOT / page).read_text())]
    assert shown
    for text in shown:
        call = ast.parse(text, mode="eval").body
        assert isinstance(call, ast.Call)
        assert arguments(call) == as_run(program, name)
