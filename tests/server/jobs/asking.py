"""Jobs to be asked for, for tests of what becomes of them."""

from __future__ import annotations

from voicewire.auth.principal import Principal
from voicewire.auth.scopes import CLIENT_SCOPES
from voicewire.codecs.base import FileKind
from voicewire.server.jobs.records import Asked, Manner, Wish
from voicewire.storage.store import Store
from voicewire.types import Offsets

MANNER = Manner("", "en", 1.0, None, FileKind.WAV, 24_000, None, Offsets.CODEPOINT)
HOOK = "https://example.org/hook"


def asked(*texts: str, tenant: str = "home", once: str = "", webhook: str = "", model: str = "tone") -> Asked:
    """A job of `texts`."""
    caller = Principal(f"key_{tenant}", tenant, CLIENT_SCOPES, "key", key=f"key_{tenant}")
    wishes = tuple(Wish(f"text {number}", model, MANNER, text, 1_000) for number, text in enumerate(texts))
    return Asked("batch" if len(texts) > 1 else "speech", caller, wishes, once, webhook)


async def add_tenant(store: Store, tenant: str) -> None:
    await store.execute("INSERT INTO tenants (id, name) VALUES ($1, $1)", tenant)
