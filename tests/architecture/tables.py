"""What stands in a table stands there alone: settings, metrics, keys, errors; and who reads and prints."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from fnmatch import fnmatch

from tests.architecture.source import Module, Offence, callee
from voicewire import errors
from voicewire.commands.target import CLIENT_VARIABLES
from voicewire.config import settings

LITERAL_HOMES = {
    r"VOICEWIRE_[A-Z_]*": ("settings.py", "commands/target.py"),  # the server's, and the clients'
    r"voicewire_[a-z_]+": ("server/metrics.py",),
    r"vw:.*": ("types.py",),  # a constant named …_KEY holds what follows the prefix
}
VARIABLES = {row.variable for row in settings()} | CLIENT_VARIABLES
ENVIRONMENT_READERS = ("__main__.py",)
PRINTERS = ("__main__.py", "commands/*.py")


def documentation(tree: ast.Module) -> set[int]:
    """The ids of all strings that stand alone: docstrings."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def literals_stand_in_their_table(of: Module) -> Iterator[Offence]:
    prose = documentation(of.tree)
    for node in ast.walk(of.tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in prose:
            continue
        for pattern, homes in LITERAL_HOMES.items():
            if of.path not in homes and re.fullmatch(pattern, node.value):
                yield Offence(
                    of.path, node.lineno, f"spells out {node.value!r}, which stands in {homes or 'its table'}"
                )
        for unknown in set(re.findall(r"VOICEWIRE_[A-Z][A-Z_]*", node.value)) - VARIABLES:
            yield Offence(of.path, node.lineno, f"speaks of {unknown}, which is no setting")


def the_environment_has_one_reader(of: Module) -> Iterator[Offence]:
    for node in ast.walk(of.tree):
        reads = isinstance(node, ast.Attribute) and ast.unparse(node) in {"os.environ", "os.environb", "os.getenv"}
        if reads and of.path not in ENVIRONMENT_READERS:
            assert isinstance(node, ast.Attribute)
            yield Offence(of.path, node.lineno, "reads the environment: Config does, once, and is passed down")


def only_the_command_line_prints(of: Module) -> Iterator[Offence]:
    for node in ast.walk(of.tree):
        if (
            isinstance(node, ast.Call)
            and callee(node) == "print"
            and not any(fnmatch(of.path, each) for each in PRINTERS)
        ):
            yield Offence(of.path, node.lineno, "prints: log instead, or raise")


def error_classes() -> dict[str, type[errors.VoicewireError]]:
    return {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.VoicewireError)
    }


def errors_are_of_the_table(of: Module) -> Iterator[Offence]:
    """A code that is not in the table, or a field that its message lacks, would fail only when it is raised."""
    kinds = error_classes()
    for node in ast.walk(of.tree):
        kind = kinds.get(callee(node)) if isinstance(node, ast.Call) else None
        if kind is None:
            continue
        assert isinstance(node, ast.Call)
        code = ast.literal_eval(node.args[0]) if node.args and isinstance(node.args[0], ast.Constant) else None
        if code is not None and code not in errors.TABLE:
            yield Offence(of.path, node.lineno, f"raises {code!r}, which errors.TABLE lacks")
        elif (code or not node.args) and all(keyword.arg for keyword in node.keywords):
            template = errors.TABLE[code or kind.code].message
            lacking = {name for _, name, _, _ in string.Formatter().parse(template) if name}
            lacking -= {keyword.arg for keyword in node.keywords if keyword.arg}
            if lacking:
                yield Offence(of.path, node.lineno, f"lacks {', '.join(sorted(lacking))} for the message {template!r}")
