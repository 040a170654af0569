"""What answers or does not: Redis, PostgreSQL, the mail server, OpenID Connect issuers."""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx
from redis.exceptions import RedisError

from voicewire.commands.findings import Finding, note, wrong
from voicewire.config import Config, ConfigError
from voicewire.server.people import open_issuers
from voicewire.storage.address import without_password
from voicewire.storage.embedded import StartError, holder
from voicewire.storage.embedded_postgres import VERSION, EmbeddedPostgres, find_programs
from voicewire.storage.embedded_redis import EmbeddedRedis, find_server
from voicewire.storage.migrations import migrations, version
from voicewire.storage.redis import open_redis
from voicewire.storage.store import Store, Unreachable

REDIS_OLDEST = (6, 2)
ASK_S = 5.0
DISCOVERY = "/.well-known/openid-configuration"


async def check_redis(config: Config) -> Finding:
    """Which Redis, and whether it keeps what is written to it."""
    if config.redis_url:
        return await _ask_redis(config.redis_url, without_password(config.redis_url))
    try:
        program = find_server()
    except StartError as error:
        return wrong("redis", str(error))
    if holder(config.data_dir) is None:
        return Finding("redis", f"embedded {_version_of(program)}, not running")
    server = EmbeddedRedis(config.data_dir)
    return await _ask_redis(server.url(), "embedded", server.stop)


async def check_postgres(config: Config) -> Finding:
    """Which PostgreSQL, and which schema is in it."""
    if config.postgres_url:
        return await _ask_postgres(config.postgres_url, without_password(config.postgres_url))
    try:
        program = find_programs() / "postgres"
    except StartError as error:
        return wrong("postgres", str(error))
    made = _made_by(config.data_dir / "postgres")
    if made not in {"", str(VERSION)}:
        return wrong(
            "postgres", f"{config.data_dir}/postgres is of PostgreSQL {made}, and the embedded one is {VERSION}"
        )
    if holder(config.data_dir) is None:
        return Finding("postgres", f"embedded {_version_of(str(program))}, not running")
    server = EmbeddedPostgres(config.data_dir)
    return await _ask_postgres(server.url(), "embedded", server.stop)


async def check_mail(config: Config) -> Finding:
    """Whether the mail server takes us."""
    if not config.smtp_url:
        return note("mail", f"no server is set: letters are written to {config.data_dir}/mail")
    shown = without_password(config.smtp_url)
    try:
        return Finding("mail", f"{shown} answers: {await asyncio.to_thread(_greet, config.smtp_url)}")
    except (OSError, smtplib.SMTPException) as error:
        return wrong("mail", f"{shown}: {error}")


async def check_issuers(config: Config) -> AsyncIterator[Finding]:
    """Whether the server would take each issuer, and each describes itself."""
    try:
        async with contextlib.AsyncExitStack() as stack:
            open_issuers(config, stack)
    except ConfigError as error:
        yield wrong("issuer", str(error))
    async with httpx.AsyncClient(timeout=ASK_S, trust_env=False) as client:
        for issuer in config.oidc_issuers:
            yield await _ask_issuer(client, issuer)


async def _nothing() -> None:
    pass


async def _ask_redis(url: str, shown: str, leave: Callable[[], Awaitable[None]] = _nothing) -> Finding:
    client = open_redis(url)
    try:
        server, kept = await client.info("server"), await client.info("persistence")
        memory = await client.info("memory")
    except (RedisError, OSError) as error:
        return wrong("redis", f"{shown} does not answer: {error}")
    finally:
        await client.aclose()
        await leave()
    found = str(server["redis_version"])
    says = f"{shown}, version {found}, appendonly {'on' if kept['aof_enabled'] else 'off'}"
    if tuple(int(part) for part in found.split(".")[:2]) < REDIS_OLDEST:
        return wrong("redis", f"{says}: at least {'.'.join(map(str, REDIS_OLDEST))} is needed")
    if memory.get("maxmemory_policy", "noeviction") != "noeviction":
        return wrong("redis", f"{says}: it may drop keys; set maxmemory-policy noeviction")
    if not kept["aof_enabled"]:
        return note("redis", f"{says}: when it restarts, it forgets who may resume")
    return Finding("redis", says)


async def _ask_postgres(url: str, shown: str, leave: Callable[[], Awaitable[None]] = _nothing) -> Finding:
    store = await Store(url, connections_max=1).open()
    try:
        found = await store.fetchval("SELECT current_setting('server_version')")
        schema = await version(store)
    except Unreachable as error:
        return wrong("postgres", f"{shown} does not answer: {error.reason}")
    finally:
        await store.close()
        await leave()
    ours = migrations()[-1].name
    says = f"{shown}, version {found}, schema {schema or 'not there yet'}"
    if schema > ours:
        return wrong("postgres", f"{says}: made by a newer voicewire, this one knows it up to {ours}")
    return Finding("postgres", says) if schema == ours else note("postgres", f"{says}: the next start makes it {ours}")


async def _ask_issuer(client: httpx.AsyncClient, issuer: str) -> Finding:
    try:
        answer = await client.get(issuer.rstrip("/") + DISCOVERY)
        named = answer.raise_for_status().json()["issuer"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        return wrong("issuer", f"{issuer} does not describe itself: {error or type(error).__name__}")
    return (
        Finding("issuer", f"{issuer} answers") if named == issuer else wrong("issuer", f"{issuer} calls itself {named}")
    )


def _greet(url: str) -> str:
    parts = urlsplit(url)
    secure = parts.scheme == "smtps"
    kind = smtplib.SMTP_SSL if secure else smtplib.SMTP
    with kind(parts.hostname or "", parts.port or (465 if secure else 587), timeout=ASK_S) as server:
        server.ehlo()
        if not secure and server.has_extn("starttls"):
            server.starttls()
            server.ehlo()
            secure = True
        if parts.username:
            server.login(unquote(parts.username), unquote(parts.password or ""))
        return "with TLS" if secure else "without TLS"


def _version_of(program: str) -> str:
    """What a server's program says of itself, without the words around it."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=ASK_S, check=True)  # noqa: S603 - the program is ours
        words = said.stdout.replace("v=", "").split()
        return next((word for word in words if word[:1].isdigit()), "of an unknown version")
    return "of an unknown version"


def _made_by(folder: Path) -> str:
    try:
        return (folder / "PG_VERSION").read_text(encoding="ascii").strip()
    except OSError:
        return ""
