"""What can be seen on this machine: Python, settings, folder, port, engines, codecs."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import shutil
import socket
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from voicewire import __version__
from voicewire.codecs.base import FileKind, file_rate_hz, open_encoder, open_file_encoder
from voicewire.commands.findings import Finding, note, wrong
from voicewire.config import Config, ConfigError, Setting, settings
from voicewire.server.dialects import aliases
from voicewire.server.telephony import accounts
from voicewire.storage.address import without_password
from voicewire.storage.embedded import holder
from voicewire.types import Codec, Format

FREE_BYTES_LEAST = 1 << 30
HIDDEN = "(set)"
RATE_HZ = 24_000
TELEPHONE = (Codec.MULAW, Codec.ALAW)


def check_python() -> Finding:
    """The program and what runs it."""
    where = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    return Finding("voicewire", f"{__version__} on {where}, {len(os.sched_getaffinity(0))} cores")


def check_settings(config: Config) -> Iterator[Finding]:
    """Every setting that is not as it comes; secrets are not shown."""
    changed = [row for row in settings() if getattr(config, row.name) != getattr(Config(), row.name)]
    for row in changed:
        yield Finding("setting", f"{row.variable}={_shown(row, getattr(config, row.name))}")
    if not changed:
        yield Finding("setting", "all as they come")


def check_folder(folder: Path) -> Finding:
    """The data folder: whose it is, and whether there is room."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return wrong("data folder", f"{folder} cannot be written: {there} is not a folder of ours")
    free = shutil.disk_usage(there).free
    if free < FREE_BYTES_LEAST:
        return wrong("data folder", f"{folder} has {free >> 20} MiB left, and needs {FREE_BYTES_LEAST >> 20}")
    if there != folder:
        return Finding("data folder", f"{folder} is made at the first start")
    pid = holder(folder)
    return Finding("data folder", f"{folder}, " + (f"in use by the server, process {pid}" if pid else "not in use"))


def check_tables(config: Config) -> Iterator[Finding]:
    """What operators write beside the settings, where there is any."""
    tables: tuple[tuple[str, Callable[[], object]], ...] = (
        (aliases.FILE, partial(aliases.Aliases.read, config.data_dir)),
        (accounts.FILE, partial(accounts.Accounts.read, config)),
    )
    for file, read in tables:
        try:
            read()
        except ConfigError as error:
            yield wrong(file, str(error))
        else:
            if (config.data_dir / file).exists():
                yield Finding(file, "is understood")


def check_ports(config: Config) -> Iterator[Finding]:
    """Whether the server could listen, if it does not already."""
    yield _check_port(config, config.host, config.port)
    if config.admin_port:
        yield _check_port(config, config.admin_host, config.admin_port)


def _check_port(config: Config, host: str, port: int) -> Finding:
    part = f"port {port}"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            if pid := holder(config.data_dir):
                return Finding(part, f"taken, as it should be: the server runs, process {pid}")
            return wrong(part, f"{host}:{port} cannot be had: {error.strerror}")
    return Finding(part, f"{host}:{port} is free")


def check_engines(config: Config) -> Iterator[Finding]:
    """Each engine that is to run, opened, but for those that take a minute."""
    for name in config.engines_here:
        yield _kokoro(config) if name == "kokoro" else _opened(name)
    if config.engines_here and config.default_model not in config.engines_here:
        yield wrong("engines", f"the default model {config.default_model} is none of {', '.join(config.engines)}")


def check_codecs() -> Iterator[Finding]:
    """A tenth of a second through every encoder: their libraries are found only then."""
    silence = np.zeros(RATE_HZ // 10, np.int16)
    made, problems = [], []
    for codec in Codec:
        try:
            open_encoder(Format(codec, 8_000) if codec in TELEPHONE else Format(codec)).encode(silence)
            made.append(str(codec))
        except Exception as error:  # noqa: BLE001 - whatever a library does, it is what we are here to say
            problems.append(wrong("codec", f"{codec}: {error}"))
    for kind in FileKind:
        try:
            file = open_file_encoder(kind, file_rate_hz(kind, RATE_HZ))
            file.encode(silence)
            file.finish()
            made.append(f".{kind}")
        except Exception as error:  # noqa: BLE001 - as above
            problems.append(wrong("codec", f"files of {kind}: {error}"))
    yield Finding("codecs", ", ".join(made))
    yield from problems


def _shown(row: Setting, value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    if row.secret:
        return without_password(value) if row.name.endswith("_url") else HIDDEN
    return {None: "auto", True: "on", False: "off"}[value] if row.type.startswith("bool") else str(value)


def _opened(name: str) -> Finding:
    try:
        engine = importlib.import_module(f"voicewire.engines.{name}").open_engine()
        return Finding(name, f"{len(engine.voices())} voices, {len(engine.model.languages)} languages")
    except Exception as error:  # noqa: BLE001 - whatever an engine does, it is what we are here to say
        return wrong(name, f"does not open: {error}")


def _kokoro(config: Config) -> Finding:
    try:
        packages = ", ".join(f"{name} {version(name)}" for name in ("kokoro", "torch"))
    except PackageNotFoundError as error:
        return wrong("kokoro", f"{error.name} is not installed: install voicewire[kokoro]")
    if not config.kokoro_path:
        return note("kokoro", f"{packages}; weights from the hub, fetched at the start where they are not yet")
    weights = sorted(Path(config.kokoro_path).glob("*.pth"))
    if not weights:
        return wrong("kokoro", f"{config.kokoro_path} holds no weights (*.pth)")
    voices = len(list(Path(config.kokoro_path, "voices").glob("*.pt")))
    return Finding("kokoro", f"{packages}; {weights[0].name}, {voices} voices, on {config.kokoro_device}")
