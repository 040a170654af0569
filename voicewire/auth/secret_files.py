"""Secrets in the data folder: made once, for the owner's eyes only, the same for all who start at once."""

from __future__ import annotations

import fcntl
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PEPPER_FILE = "pepper"
"""What API keys are hashed with. Without it, every key that was made is worthless."""

CLIENT_KEY_FILE = "client-key"
LOCK_FILE = "keys.lock"
SECRET_BYTES = 32


class BadSecretFile(Exception):
    """The operator must mend or remove a file of the data folder. The message names it and says why."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")


def kept_secret(data_dir: Path, name: str) -> bytes:
    """Return the secret of the file `name`, in hexadecimal there; it is made when there is none.

    Raises `BadSecretFile` when what is there is not good.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = data_dir / name
    if not path.exists():
        with locked(data_dir):
            if not path.exists():
                replace_file(path, secrets.token_hex(SECRET_BYTES).encode() + b"\n")
    try:
        secret = bytes.fromhex(path.read_text("ascii"))
    except OSError as error:
        raise BadSecretFile(path, error.strerror or "cannot be read") from error
    except ValueError:
        raise BadSecretFile(path, "it is not hexadecimal") from None
    if len(secret) < SECRET_BYTES:
        raise BadSecretFile(path, f"it is shorter than {SECRET_BYTES} bytes")
    return secret


def leave_client_key(data_dir: Path, key: str) -> None:
    """Leave `key` for programs on this machine that may read the data folder."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(data_dir / CLIENT_KEY_FILE, key.encode() + b"\n")


def read_client_key(data_dir: Path) -> str:
    """Return the key that a server left for programs on this machine, or "" when there is none to be read."""
    try:
        return (data_dir / CLIENT_KEY_FILE).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def replace_file(path: Path, content: bytes) -> None:
    """Put `content` at `path` as a whole or not at all, readable by the owner only."""
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
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the lock of the data folder's secrets, against other processes."""
    path = data_dir / LOCK_FILE
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
