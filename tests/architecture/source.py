"""The package's own source, as the rules see it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "voicewire"


Function = ast.FunctionDef | ast.AsyncFunctionDef


class Module(NamedTuple):
    path: str  # inside the package
    source: str
    tree: ast.Module

    @property
    def name(self) -> str:
        dotted = self.path.removesuffix(".py").replace("/", ".").removesuffix("__init__").rstrip(".")
        return f"voicewire.{dotted}".rstrip(".")

    @property
    def part(self) -> str:
        """The piece of the package that it belongs to: a top module or a folder; nothing for the package itself."""
        return self.name.removeprefix("voicewire").strip(".").split(".")[0]


class Offence(NamedTuple):
    path: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"voicewire/{self.path}:{self.line}: {self.what}"


Rule = Callable[[Module], Iterator[Offence]]


def module(path: str, source: str) -> Module:
    return Module(path, source, ast.parse(source, path))


def package() -> list[Module]:
    paths = sorted(PACKAGE.rglob("*.py"))
    return [module(path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8")) for path in paths]


def imports(of: Module) -> Iterator[tuple[int, str]]:
    """Line and dotted name of all that is imported, wherever in the file."""
    for node in ast.walk(of.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                inside = of.path.endswith("__init__.py")
                parents = of.name.split(".")[: None if node.level == 1 and inside else inside - node.level]
                base = ".".join([*parents, base]).rstrip(".")
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def callee(call: ast.Call) -> str:
    """The last name of what is called."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)


def functions(of: Module) -> Iterator[Function]:
    yield from (node for node in ast.walk(of.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
