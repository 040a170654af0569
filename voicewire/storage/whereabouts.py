"""Where a server that runs on a data folder is reached: what it leaves there for commands on the same machine."""

from __future__ import annotations

from pathlib import Path

from voicewire.storage.embedded import holder

ADDRESS_FILE = "address"


def leave_address(folder: Path, url: str) -> None:
    """Say where the server is that runs on `folder`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / ADDRESS_FILE).write_text(url, encoding="utf-8")


def find_address(folder: Path) -> str:
    """Return what was left by a server that still runs; empty where none does."""
    if holder(folder) is None:
        return ""
    try:
        return (folder / ADDRESS_FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
