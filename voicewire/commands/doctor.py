"""`voicewire doctor`: what there is, what is used, and what is wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TextIO

from voicewire.commands.checks import (
    check_codecs,
    check_engines,
    check_folder,
    check_ports,
    check_python,
    check_settings,
    check_tables,
)
from voicewire.commands.checks_afar import check_issuers, check_mail, check_postgres, check_redis
from voicewire.commands.findings import Finding, Verdict, wrong
from voicewire.commands.problems import Exit
from voicewire.commands.table import write_table
from voicewire.config import Config, ConfigError

HEADS = ("", "part", "found")


async def doctor(load: Callable[[], Config], out: TextIO) -> Exit:
    """Examine the installation, starting nothing and writing nothing but the report. FAILED when something is wrong."""
    findings = [finding async for finding in examine(load)]
    write_table(HEADS, [(str(verdict), part, says) for part, says, verdict in findings], out)
    count = sum(finding.verdict is Verdict.WRONG for finding in findings)
    out.write(f"\n{count} {'thing is' if count == 1 else 'things are'} wrong\n" if count else "\nall is well\n")
    return Exit.FAILED if count else Exit.OK


async def examine(load: Callable[[], Config]) -> AsyncIterator[Finding]:
    """Look at each part in turn; without settings that are right, no further."""
    yield check_python()
    try:
        config = load()
    except ConfigError as error:
        for problem in str(error).splitlines():
            yield wrong("setting", problem)
        return
    for finding in check_settings(config):
        yield finding
    yield check_folder(config.data_dir)
    for finding in check_tables(config):
        yield finding
    for finding in check_ports(config):
        yield finding
    yield await check_redis(config)
    yield await check_postgres(config)
    for finding in check_engines(config):
        yield finding
    for finding in check_codecs():
        yield finding
    yield await check_mail(config)
    async for finding in check_issuers(config):
        yield finding
