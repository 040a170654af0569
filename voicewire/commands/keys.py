"""`voicewire keys`: make, list, rotate and revoke keys."""

from __future__ import annotations

from typing import Literal, NamedTuple, TextIO

from voicewire.accounts.first_key import add_tenant, pepper_of
from voicewire.accounts.keys import Keys, Maker, Wish
from voicewire.auth.keys import KeyRecord, utc_now
from voicewire.auth.principal import HOME_TENANT
from voicewire.auth.scopes import CLIENT_SCOPES, unknown_scopes
from voicewire.auth.secret_files import PEPPER_FILE
from voicewire.commands.operator import Operator
from voicewire.commands.problems import Exit, Problem
from voicewire.commands.table import write_table
from voicewire.config import Config, variable
from voicewire.errors import BadRequest

HEADS = ("id", "label", "tenant", "scopes", "created", "last used", "state")
MINUTE = "%Y-%m-%d %H:%M"


class Bench(NamedTuple):
    """Where keys are made: the database, and what they are hashed with, where some are made."""

    operator: Operator
    pepper: bytes

    @property
    def keys(self) -> Keys:
        return Keys(self.operator.store, self.pepper, self.operator.news)


class NewKey(NamedTuple):
    """What a key is to be. `scopes` has a comma between."""

    label: str = ""
    scopes: str = ""
    tenant: str = HOME_TENANT
    environment: Literal["live", "test"] = "live"
    new_tenant: bool = False


async def open_bench(operator: Operator, config: Config, *, making: bool) -> Bench:
    """Find what keys are hashed with, where some are to be made.

    Raises `Problem` where the server has it from elsewhere: a key that is hashed with another is good nowhere.
    """
    here = config.key_pepper or (config.data_dir / PEPPER_FILE).exists()
    if making and not here and await operator.store.fetchval("SELECT 1 FROM keys LIMIT 1"):
        setting = variable("key_pepper")
        raise Problem(
            Exit.USAGE, f"what keys are hashed with is not in {config.data_dir}: set {setting} as the server has it"
        )
    return Bench(operator, pepper_of(config) if making else b"")


async def create_key(bench: Bench, new: NewKey, out: TextIO) -> None:
    """Make a key and write it, alone, to `out`: it is never shown again."""
    wanted = frozenset(part.strip() for part in new.scopes.split(",") if part.strip()) or CLIENT_SCOPES
    if unknown := unknown_scopes(wanted):
        raise Problem(Exit.USAGE, f"unknown scopes: {', '.join(unknown)}")
    await _find_tenant(bench, new)
    made = await bench.keys.make(Maker.operator(new.tenant), Wish(new.label, new.environment, wanted))
    out.write(f"{made.key}\n")


async def list_keys(bench: Bench, tenant: str, out: TextIO) -> None:
    """Write a table of all keys, of one tenant or all, revoked ones too; the oldest first."""
    records: list[KeyRecord] = []
    while page := await bench.keys.page(tenant, records[-1].id if records else ""):
        records += page
    write_table(HEADS, [_row(record) for record in reversed(records)], out)


async def rotate_key(bench: Bench, key_id: str, overlap_s: int, out: TextIO) -> None:
    """Make a key that takes the place of another, and write it, alone, to `out`."""
    record = await _in_force(bench, key_id)
    made = await bench.keys.rotate(Maker.operator(record.tenant), key_id, overlap_s)
    out.write(f"{made.key}\n")


async def revoke_key(bench: Bench, key_id: str, out: TextIO) -> None:
    """Revoke a key by its id; running servers refuse it within 5 s."""
    record = await _in_force(bench, key_id)
    await bench.keys.revoke(Maker.operator(record.tenant), key_id)
    out.write(f"{key_id} is revoked\n")


async def _in_force(bench: Bench, key_id: str) -> KeyRecord:
    try:
        record = await bench.keys.get("", key_id)
    except BadRequest as error:
        raise _unknown(key_id) from error
    if record.revoked:
        raise _unknown(key_id)
    return record


def _unknown(key_id: str) -> Problem:
    return Problem(Exit.USAGE, f"there is no key {key_id!r} in force; `voicewire keys list` shows them")


async def _find_tenant(bench: Bench, new: NewKey) -> None:
    async with bench.operator.store.transaction() as session:
        if new.new_tenant:
            await add_tenant(session, new.tenant, utc_now())
        elif not await session.fetchval("SELECT 1 FROM tenants WHERE id = $1", new.tenant):
            raise Problem(Exit.USAGE, f"there is no tenant {new.tenant!r}; --new-tenant makes it")


def _row(record: KeyRecord) -> tuple[str, ...]:
    used = record.last_used.strftime(MINUTE) if record.last_used else "never"
    scopes = ",".join(sorted(record.scopes))
    return record.id, record.label, record.tenant, scopes, record.created.strftime(MINUTE), used, _state(record)


def _state(record: KeyRecord) -> str:
    if record.revoked:
        return record.revoked.strftime(f"revoked {MINUTE}")
    if record.expires:
        return record.expires.strftime(f"{'ended' if record.ended(utc_now()) else 'until'} {MINUTE}")
    return "suspended" if record.suspended else "in force"
