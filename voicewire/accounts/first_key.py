"""What a server's first keys are: those of an older data folder, the operator's own, or one made at the first start."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from voicewire.accounts import audit
from voicewire.auth.keys import GIVEN_KEY_ID, KeyRecord, generate_key, hash_key, key_id, utc_now, well_formed
from voicewire.auth.principal import HOME_TENANT
from voicewire.auth.scopes import ALL_SCOPES, unknown_scopes
from voicewire.auth.secret_files import PEPPER_FILE, BadSecretFile, kept_secret, leave_client_key
from voicewire.config import Config
from voicewire.storage.store import Session, Store

KEYS_FILE = "keys.json"
TAKEN_FILE = "keys.json.taken"
LABEL = "bootstrap"
LOCK = "first key"

ADD = (
    "INSERT INTO keys (id, tenant, hash, environment, label, scopes, created, revoked)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING"
)
GIVEN = (
    "INSERT INTO keys AS k (id, tenant, hash, environment, label, scopes, created)"
    " VALUES ($1, $2, $3, 'live', $4, $5, $6) ON CONFLICT (id) DO UPDATE"
    " SET hash = excluded.hash, scopes = excluded.scopes, revoked = NULL, expires = NULL"
)


class _KeyFile(msgspec.Struct, forbid_unknown_fields=True):
    keys: list[KeyRecord] = []


async def first_key(store: Store, pepper: bytes, data_dir: Path, given: str = "") -> str | None:
    """Make sure that there is a first key, and return it in clear if it is new or was `given`.

    The row of a given key follows the configuration, which is its home: another key there replaces it, none there
    ends it. Either key is left in the data folder for programs on this machine. Raises `ValueError` for a given key
    that nobody should use, `BadSecretFile` for a file of keys that cannot be read.
    """
    if given and not well_formed(given):
        raise ValueError("the bootstrap key needs 8 to 256 visible ASCII characters")
    async with store.transaction() as session:
        await session.lock(LOCK)
        await _take_over(session, data_dir)
        key = given or await _made_once(session, pepper)
        if given:
            await session.execute(
                GIVEN, GIVEN_KEY_ID, HOME_TENANT, hash_key(pepper, given), LABEL, sorted(ALL_SCOPES), utc_now()
            )
        else:
            await session.execute("UPDATE keys SET revoked = now() WHERE id = $1 AND revoked IS NULL", GIVEN_KEY_ID)
        if key:  # before the end, whose answer may be lost: nobody would know the key, and it is made but once
            leave_client_key(data_dir, key)
    _put_aside(data_dir)
    return key


def pepper_of(config: Config) -> bytes:
    """Return what keys are hashed with. Raises `BadSecretFile`."""
    return config.key_pepper.encode() or kept_secret(config.data_dir, PEPPER_FILE)


def given_id(given: str) -> str:
    """Return the id that the operator's own key shows, under which no other key may stand."""
    return key_id(given) if given else GIVEN_KEY_ID


async def _made_once(session: Session, pepper: bytes) -> str | None:
    if await session.fetchval("SELECT 1 FROM keys WHERE tenant = $1 LIMIT 1", HOME_TENANT):
        return None
    key = generate_key()
    record = KeyRecord(key_id(key), hash_key(pepper, key), utc_now(), label=LABEL, scopes=ALL_SCOPES)
    await _add(session, [record])
    await audit.note(session, audit.OPERATOR, "key.create", tenant=HOME_TENANT, subject=record.id)
    return key


async def _take_over(session: Session, data_dir: Path) -> None:
    """Take over the keys of a data folder from before there were accounts, with their tenants."""
    records = _read(data_dir / KEYS_FILE)
    for tenant in {record.tenant for record in records}:
        await add_tenant(session, tenant, utc_now())
    await _add(session, records)


def _put_aside(data_dir: Path) -> None:
    if (data_dir / KEYS_FILE).exists():
        (data_dir / KEYS_FILE).replace(data_dir / TAKEN_FILE)


async def add_tenant(session: Session, tenant: str, now: datetime) -> None:
    """Add a tenant of the operator's, without limits of its own, if there is none of that id."""
    added = await session.execute("INSERT INTO tenants (id, name) VALUES ($1, $1) ON CONFLICT DO NOTHING", tenant)
    if added != "INSERT 0 0":
        await session.execute(
            "INSERT INTO subscriptions (tenant, plan, period_start, period_end) VALUES ($1, $2, $3, 'infinity')",
            tenant,
            HOME_TENANT,
            now,
        )


async def _add(session: Session, records: Sequence[KeyRecord]) -> None:
    for record in records:
        await session.execute(
            ADD,
            record.id,
            record.tenant,
            record.hash,
            record.environment,
            record.label,
            sorted(record.scopes),
            record.created,
            record.revoked,
        )


def _read(path: Path) -> list[KeyRecord]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BadSecretFile(path, error.strerror or "cannot be read") from error
    try:
        records = msgspec.json.decode(content, type=_KeyFile).keys
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise BadSecretFile(path, str(error)) from None  # the cause would carry the file
    for record in records:
        if unknown := unknown_scopes(record.scopes):
            raise BadSecretFile(path, f"key {record.id} has unknown scopes: {', '.join(unknown)}")
    return records
