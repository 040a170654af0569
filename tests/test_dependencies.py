"""What is imported is declared, and what is declared is locked."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from importlib.metadata import packages_distributions

import pytest

from tests.architecture.layers import HOMES
from tests.architecture.source import ROOT, Module, Offence, imports, module, package

APART = ("kokoro", "chatterbox", "dia")  # what they bring along is not installed everywhere


def declared(*extras: str) -> set[str]:
    """The distributions of pyproject.toml, in the normal form of names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    return {re.split(r"[^A-Za-z0-9_.-]", line)[0].replace("_", "-").lower() for line in lines}


def undeclared(of: Module, allowed: set[str], distributions: Mapping[str, list[str]]) -> Iterator[Offence]:
    for line, name in imports(of):
        for distribution in distributions.get(name.split(".")[0], []):
            if distribution.replace("_", "-").lower() not in allowed | {"voicewire"}:
                yield Offence(of.path, line, f"imports {distribution}, which pyproject.toml does not declare")


def test_what_is_imported_is_declared() -> None:
    distributions = packages_distributions()
    offences = [
        str(each)
        for of in package()
        if not any(fnmatch(of.path, HOMES[name]) for name in APART)
        for each in undeclared(of, declared(), distributions)
    ]
    for path in [*ROOT.glob("tests/**/*.py"), *ROOT.glob("benchmarks/**/*.py")]:
        if "kokoro" in path.name:
            continue
        of = module(f"../{path.relative_to(ROOT).as_posix()}", path.read_text(encoding="utf-8"))
        offences += [str(each) for each in undeclared(of, declared("dev", "kokoro"), distributions)]
    assert not offences, "\n" + "\n".join(offences)
    assert list(undeclared(module("a.py", "import pytest"), declared(), distributions))


@pytest.mark.parametrize(
    ("lock", "extras", "apart"),
    [
        ("requirements", (), set()),
        ("requirements-dev", ("dev",), set()),
        ("requirements-kokoro", ("kokoro",), {"torch"}),
    ],
)
def test_what_is_declared_is_locked(lock: str, extras: tuple[str, ...], apart: set[str]) -> None:
    text = (ROOT / f"{lock}.lock").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([a-z0-9.-]+)==", text, re.MULTILINE))
    assert declared(*extras) - locked == apart, "make lock"
    assert "://" not in text, "a lock names packages, not where they come from"
