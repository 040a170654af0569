"""Keys in one JSON file of the data folder, for a server that has no accounts.

The server reads it, the command line changes it, both may run at once: every change takes a lock and
replaces the file as a whole, and a reader sees it within a second.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from voicewire.auth.keys import KeyRecord, generate_key, hash_key, key_id, well_formed
from voicewire.auth.principal import HOME_TENANT
from voicewire.auth.scopes import ALL_SCOPES, CLIENT_SCOPES, unknown_scopes

KEYS_FILE = "keys.json"
LOCK_FILE = "keys.lock"
PEPPER_FILE = "pepper"
CLIENT_KEY_FILE = "client-key"
PEPPER_BYTES = 32
KEYS_MAX = 10_000
LOOK_EVERY_S = 1.0

_log = logging.getLogger(__name__)


class BadKeyFile(Exception):
    """The operator must mend or remove a file of the data folder. The message names it and says why."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")


class _KeyFile(msgspec.Struct, forbid_unknown_fields=True):
    keys: list[KeyRecord] = []


class _Seen(NamedTuple):
    modified_ns: int
    inode: int
    size_bytes: int


class FileKeys:
    """The key store of one data folder, which it creates. Raises `BadKeyFile` when what is there is not good."""

    def __init__(self, data_dir: Path, clock: Callable[[], float] = time.monotonic) -> None:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._dir = data_dir
        self._path = data_dir / KEYS_FILE
        self._clock = clock
        self._given: dict[str, KeyRecord] = {}
        self.pepper = kept_secret(data_dir / PEPPER_FILE)
        self._seen = _seen(self._path)
        self._records = _read(self._path)
        self._looked_s = clock()

    async def find(self, key_id: str, /) -> KeyRecord | None:
        """Return the record of `key_id`, as the file had it at most a second ago."""
        if self._clock() - self._looked_s >= LOOK_EVERY_S:
            self._looked_s = self._clock()
            await asyncio.to_thread(self._look)
        return self._given.get(key_id) or self._records.get(key_id)

    def used(self, key_id: str, /) -> None:
        """A file does not say when."""

    def bootstrap(self, given: str = "") -> str | None:
        """Make sure that there is a first key, and return it in clear if it is new or was `given`.

        A given key is never stored, only kept while this object lives: the configuration is its home.
        Without one, a key is created when there is no key file yet. Either is left in `client-key`, for
        programs on the same machine. Raises `ValueError` for a given key that nobody should use.
        """
        if given and not well_formed(given):
            raise ValueError("the bootstrap key needs 8 to 256 visible ASCII characters")
        if given:
            record = self._record(given, "bootstrap", ALL_SCOPES, HOME_TENANT)
            self._given[record.id] = record
        elif self._path.exists():
            return None
        key = given or self.create("bootstrap", scopes=ALL_SCOPES)
        _replace(self._dir / CLIENT_KEY_FILE, key.encode() + b"\n")
        return key

    def create(
        self,
        label: str,
        scopes: frozenset[str] = CLIENT_SCOPES,
        tenant: str = HOME_TENANT,
        environment: Literal["live", "test"] = "live",
    ) -> str:
        """Add a key and return it, the only time that it is seen. Raises `ValueError` for unknown scopes."""
        if unknown := unknown_scopes(scopes):
            raise ValueError(f"unknown scopes: {', '.join(unknown)}")
        with self._changing() as records:
            key = generate_key(environment)
            while key_id(key) in records:
                key = generate_key(environment)
            records[key_id(key)] = self._record(key, label, scopes, tenant)
        return key

    def revoke(self, key_id: str) -> bool:
        """Revoke a key for good; return False when there is none of that id, or it was revoked before."""
        with self._changing() as records:
            record = records.get(key_id)
            if record is None or record.revoked:
                return False
            records[key_id] = msgspec.structs.replace(record, revoked=_now())
        return True

    def records(self) -> list[KeyRecord]:
        """Return every record in the file, oldest first."""
        return sorted(_read(self._path).values(), key=lambda record: (record.created, record.id))

    def _record(self, key: str, label: str, scopes: frozenset[str], tenant: str) -> KeyRecord:
        hashed = hash_key(self.pepper, key)
        return KeyRecord(key_id(key), hashed, _now(), label=label, tenant=tenant, scopes=scopes)

    def _look(self) -> None:
        seen = _seen(self._path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._records = _read(self._path)
        except BadKeyFile as problem:
            # Half an edit must not lock everyone out: the keys read last stay in force until it is mended.
            _log.error("keys stay as they were: %s", problem)

    @contextmanager
    def _changing(self) -> Iterator[dict[str, KeyRecord]]:
        with _locked(self._dir / LOCK_FILE):
            records = dict(_read(self._path))
            yield records
            if len(records) > KEYS_MAX:
                raise BadKeyFile(self._path, f"it holds {KEYS_MAX} keys, which is the most")
            content = msgspec.json.encode(_KeyFile(list(records.values())), order="sorted")
            _replace(self._path, msgspec.json.format(content) + b"\n")
            self._records, self._seen = records, _seen(self._path)


def read_client_key(data_dir: Path) -> str:
    """Return the key that a server left for programs on this machine, or "" when there is none to be read."""
    try:
        return (data_dir / CLIENT_KEY_FILE).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _read(path: Path) -> Mapping[str, KeyRecord]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise BadKeyFile(path, error.strerror or "cannot be read") from error
    try:
        records = msgspec.json.decode(content, type=_KeyFile).keys
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise BadKeyFile(path, str(error)) from None  # the cause would carry the file
    for record in records:
        if unknown := unknown_scopes(record.scopes):
            raise BadKeyFile(path, f"key {record.id} has unknown scopes: {', '.join(unknown)}")
    return {record.id: record for record in records}


def kept_secret(path: Path) -> bytes:
    """Return the random bytes that the file keeps in hex, made at the first call. Raises `BadKeyFile`."""
    if not path.exists():
        with _locked(path.with_name(LOCK_FILE)):
            if not path.exists():
                _replace(path, secrets.token_hex(PEPPER_BYTES).encode() + b"\n")
    try:
        secret = bytes.fromhex(path.read_text("ascii"))
    except OSError as error:
        raise BadKeyFile(path, error.strerror or "cannot be read") from error
    except ValueError:
        raise BadKeyFile(path, "it is not hexadecimal") from None
    if len(secret) < PEPPER_BYTES:
        raise BadKeyFile(path, f"it is shorter than {PEPPER_BYTES} bytes")
    return secret


def _replace(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # 0600 from the start
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _seen(path: Path) -> _Seen | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return _Seen(stat.st_mtime_ns, stat.st_ino, stat.st_size)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
