"""Which server a client command talks to, and with which key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from voicewire.auth.keys import well_formed
from voicewire.auth.secret_files import read_client_key
from voicewire.commands.problems import Exit, Problem
from voicewire.config import Config
from voicewire.dial import LOOPBACK, ServerError, Unreachable, server_error, stream_url
from voicewire.storage.whereabouts import find_address

URL_VARIABLE = "VOICEWIRE_URL"
KEY_VARIABLE = "VOICEWIRE_API_KEY"
CLIENT_VARIABLES = frozenset({URL_VARIABLE, KEY_VARIABLE})
"""What clients read of the environment; everything else with this prefix is a setting of the server."""

DEFAULT_URL = "http://127.0.0.1:8080"
HTTP_S = 10.0
BODY_BYTES_MAX = 16 << 20


class Target(NamedTuple):
    """A server's address and the key for it; `folder` is where the key was found, None when it was given."""

    url: str
    key: str
    folder: Path | None = None

    def __repr__(self) -> str:
        return f"Target(url={self.url!r})"


def data_dir(environ: Mapping[str, str], given: Path | None) -> Path:
    """Return the data folder: as given, else as the server's settings have it."""
    return server_config(environ, data_dir=given).data_dir


def server_config(environ: Mapping[str, str], **overrides: object) -> Config:
    """Return the server's settings; what only clients read is not one of them."""
    settings = {name: value for name, value in environ.items() if name not in CLIENT_VARIABLES}
    return Config.from_env(settings, **overrides)


def find_target(url: str | None, key: str | None, data: Path | None, environ: Mapping[str, str]) -> Target:
    """Return the server to talk to: where none is named, the one that runs on the data folder, if it is near.

    The key that a server left in its data folder is shown to servers on this machine only. Raises `Problem` when there
    is no key.
    """
    url = url or environ.get(URL_VARIABLE) or _near(find_address(data_dir(environ, data))) or DEFAULT_URL
    local = _is_local(url)
    key = key or environ.get(KEY_VARIABLE) or ""
    folder = data_dir(environ, data) if local and not key else None
    if folder:
        key = read_client_key(folder)
    if not key:
        where = f" in {folder}: start `voicewire serve`, name its folder with --data, or" if folder else ":"
        raise Problem(Exit.REFUSED, f"there is no key for {url}{where} give --key or {KEY_VARIABLE}")
    if not well_formed(key):
        raise Problem(Exit.REFUSED, "that is not a key: it must be 8 to 256 visible ASCII characters")
    return Target(url, key, folder)


def _is_local(url: str) -> bool:
    return urlsplit(stream_url(url)).hostname in LOOPBACK


def _near(url: str) -> str:
    """An address on this machine; a public one may lead through what this machine does not reach."""
    return url if url and _is_local(url) else ""


@contextmanager
def key_named(target: Target) -> Iterator[None]:
    """When a key that was found is refused, say where: another server may have left it there."""
    try:
        yield
    except ServerError as error:
        if error.code != "unauthorized" or target.folder is None:
            raise
        hint = f"the key is from {target.folder}; a server that was started with another --data has its own"
        raise Problem(Exit.REFUSED, f"{error.message} ({hint})") from error


def get(target: Target, path: str) -> bytes:
    """Return the body of a GET. Raises `ServerError` or `Unreachable`."""
    parts = urlsplit(stream_url(target.url))
    kind = HTTPSConnection if parts.scheme == "wss" else HTTPConnection
    assert parts.hostname
    connection = kind(parts.hostname, parts.port, timeout=HTTP_S)
    try:
        prefix = parts.path.removesuffix("/v1/stream")
        connection.request("GET", prefix + path, headers={"Authorization": f"Bearer {target.key}"})
        response = connection.getresponse()
        body = response.read(BODY_BYTES_MAX)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Unreachable(f"there is no voicewire server at {target.url}: {reason}") from error
    finally:
        connection.close()
    if response.status != 200:
        raise server_error(response.status, body)
    return body


def problem(error: ServerError | Unreachable) -> Problem:
    """Return what to tell a person about an error of the client."""
    if isinstance(error, Unreachable):
        return Problem(Exit.UNREACHABLE, str(error))
    refused = error.code in {"unauthorized", "forbidden"}
    return Problem(Exit.REFUSED if refused else Exit.FAILED, error.message)
