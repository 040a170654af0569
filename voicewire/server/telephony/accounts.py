"""Whose calls these are: the accounts that a person has at carriers, from the settings and `calls.toml`.

[[account]]
id = "AC…"                  # the carrier's name of it
secret = "…"                # what the carrier signs with: Twilio's auth token, or the shared key of HMAC_SHA256
tenant = "t_…"              # whose calls they are; without it, the server's own tenant
webhook = "https://…"       # asked what to say; without it, an application speaks
key = "k3j5q2wd"            # the id of the key under which what that says is recorded
webhook_secret = "whsec_…"  # what it is signed with; without it, as the tenant's jobs are to that address
voice = "…"                 # and `model`, `language`: where nobody names one
marks = "word"              # at what its webhook's speech is marked
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct, ValidationError, convert, field

from voicewire.auth.keys import GIVEN_KEY_ID, KEY_ID
from voicewire.auth.principal import HOME_TENANT
from voicewire.config import Config, ConfigError
from voicewire.server.jobs.signing import SECRET_PREFIX, is_secret
from voicewire.types import Marks

FILE = "calls.toml"
ANY = "*"
"""The account of the settings: whatever the carrier calls it."""


class Account(Struct, frozen=True, forbid_unknown_fields=True):
    """One row. Its secrets are not shown."""

    id: str
    secret: str = ""
    tenant: str = HOME_TENANT
    webhook: str = ""
    key: Annotated[str, Meta(pattern=rf"^(?:{KEY_ID}|{GIVEN_KEY_ID})?$")] = ""
    webhook_secret: str = ""
    model: str = ""
    voice: str = ""
    language: str = ""
    marks: Marks = Marks.SENTENCE

    def __repr__(self) -> str:
        return f"Account({self.id!r}, tenant={self.tenant!r})"

    @property
    def manner(self) -> tuple[str, str, str]:
        """Model, voice and language where nobody names one."""
        return self.model, self.voice, self.language

    @property
    def books_under(self) -> str:
        """What usage names as the key of what its webhook says: the key's id, or else whose calls they are."""
        return self.key or f"calls:{self.id}"


class _File(Struct, forbid_unknown_fields=True):
    account: list[Account] = field(default_factory=list)


class Accounts:
    """The table."""

    def __init__(self, rows: Iterable[Account]) -> None:
        self._rows: Mapping[str, Account] = {row.id: row for row in rows}

    @classmethod
    def read(cls, config: Config) -> Accounts:
        """Return what the settings and the file of the data folder say. Raises `ConfigError`."""
        rows = _rows(config.data_dir)
        if config.twilio_auth_token or config.call_webhook:
            rows.append(
                Account(
                    ANY,
                    config.twilio_auth_token,
                    webhook=config.call_webhook,
                    webhook_secret=config.call_webhook_secret,
                )
            )
        if not all(is_secret(row.webhook_secret) for row in rows if row.webhook_secret):
            raise ConfigError(
                f"{FILE}, or the settings: a webhook_secret is not {SECRET_PREFIX} and base64 of 24 to 64 bytes"
            )
        if len({row.id for row in rows}) < len(rows):
            raise ConfigError(f"{FILE}: an account stands there twice")
        return cls(rows)

    def take(self, others: Accounts) -> bool:
        """Have the rows of `others` from now on; return whether they differ. Calls that have begun keep theirs."""
        before, self._rows = self._rows, others._rows
        return before != self._rows

    def find(self, id: str) -> Account | None:
        """Return the row of an account."""
        return self._rows.get(id) or self._rows.get(ANY)


def _rows(folder: Path) -> list[Account]:
    try:
        return convert(tomllib.loads((folder / FILE).read_text(encoding="utf-8")), _File).account
    except FileNotFoundError:
        return []
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
        raise ConfigError(f"{FILE}: {error}") from error
