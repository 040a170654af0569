"""`voicewire keys`: make, list and revoke the keys of a data folder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TextIO

from voicewire.auth.file_keys import FileKeys
from voicewire.auth.keys import KeyRecord
from voicewire.auth.scopes import CLIENT_SCOPES
from voicewire.commands.problems import Exit, Problem
from voicewire.commands.table import write_table

HEADS = ("id", "label", "tenant", "scopes", "created", "state")


def create_key(
    data_dir: Path, label: str, scopes: str, tenant: str, environment: Literal["live", "test"], out: TextIO
) -> None:
    """Make a key and write it, alone, to `out`: it is never shown again. `scopes` has a comma between."""
    wanted = frozenset(part.strip() for part in scopes.split(",") if part.strip()) or CLIENT_SCOPES
    try:
        key = FileKeys(data_dir).create(label, wanted, tenant, environment)
    except ValueError as error:
        raise Problem(Exit.USAGE, str(error)) from None
    out.write(f"{key}\n")


def list_keys(data_dir: Path, out: TextIO) -> None:
    """Write a table of all keys, revoked ones too."""
    write_table(HEADS, [_row(record) for record in FileKeys(data_dir).records()], out)


def revoke_key(data_dir: Path, key_id: str, out: TextIO) -> None:
    """Revoke a key by its id; a running server refuses it within a second."""
    if not FileKeys(data_dir).revoke(key_id):
        raise Problem(Exit.USAGE, f"there is no key {key_id!r} in force; `voicewire keys list` shows them")
    out.write(f"{key_id} is revoked\n")


def _row(record: KeyRecord) -> tuple[str, ...]:
    created = record.created.strftime("%Y-%m-%d %H:%M")
    state = record.revoked.strftime("revoked %Y-%m-%d %H:%M") if record.revoked else "in force"
    return record.id, record.label, record.tenant, ",".join(sorted(record.scopes)), created, state
