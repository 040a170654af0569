"""The doors to accounts, built."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter

from voicewire.accounts.directory import Directory
from voicewire.accounts.voices import Voices
from voicewire.auth.keys import utc_now
from voicewire.server.accounts import Accounts
from voicewire.server.callers import Callers
from voicewire.server.doors.admin import AdminDoors
from voicewire.server.doors.admin_voices import VoiceDoors
from voicewire.server.doors.keys import KeyDoors
from voicewire.server.doors.usage import UsageDoors
from voicewire.server.keyring import Keyring
from voicewire.storage.store import Store


def account_doors(
    store: Store, accounts: Accounts, keyring: Keyring, voices: Voices, callers: Callers
) -> Iterator[APIRouter]:
    """Return the routes to keys, usage and what operators do."""
    directory = Directory(store, accounts.news, accounts.grants.apply, utc_now)
    yield KeyDoors(keyring.keys, callers).router()
    yield UsageDoors(store, callers).router()
    yield AdminDoors(store, callers, keyring.keys, directory, accounts.subscriptions).router()
    yield VoiceDoors(voices, callers).router()
