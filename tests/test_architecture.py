"""The invariants of the design that a machine can check, on the source as it stands.

A failure names the file, the line and the rule. Every rule is also shown to catch a planted offence.
"""

from __future__ import annotations

import ast

import pytest

from tests.architecture.import_time import (
    every_memo_is_bounded,
    no_module_name_changes,
    nothing_happens_at_import,
    value_types,
)
from tests.architecture.layers import CORE, imports_run_one_way, one_library_one_home, the_core_is_pure
from tests.architecture.readable import (
    FILE_LINES_MAX,
    FUNCTION_LINES_MAX,
    sizes_stay_readable,
    suppressions_give_their_reason,
)
from tests.architecture.source import ROOT, Module, Rule, module, package
from tests.architecture.tables import (
    errors_are_of_the_table,
    literals_stand_in_their_table,
    only_the_command_line_prints,
    the_environment_has_one_reader,
)

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


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    """Read once: it takes a second."""
    return package()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps(rule: Rule, modules: list[Module]) -> None:
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


def test_tests_and_benchmarks_stay_readable_too() -> None:
    paths = [*ROOT.glob("tests/**/*.py"), *ROOT.glob("benchmarks/**/*.py")]
    assert [path.name for path in paths if path.read_text(encoding="utf-8").count("\n") > FILE_LINES_MAX] == []


def test_every_module_of_the_core_exists(modules: list[Module]) -> None:
    assert CORE - {of.part for of in modules} == set(), "LAYERS names modules that do not exist"


def test_every_key_of_redis_has_a_template_of_its_own(modules: list[Module]) -> None:
    templates = [
        (ast.literal_eval(node.value), of.path)
        for of in modules
        for node in of.tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
        if node.targets[0].id.endswith("_KEY")
    ]
    assert len({template for template, _ in templates}) == len(templates), templates
