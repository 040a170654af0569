"""The settings: one frozen value, made once at the start; nothing else reads the environment.

Every setting is one line of `Config`: its name, type, default, meaning and bounds. The variable is
`VOICEWIRE_` and the name in capitals. What is unknown or out of bounds stops the start.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from voicewire.auth.keys import well_formed
from voicewire.settings import ConfigError, Setting, parse, problems_by_row, refuse, rows, setting, variable, variables

__all__ = ["Config", "ConfigError", "Setting", "is_loopback", "settings", "variable"]

ENGINES = ("espeak", "tone", "kokoro", "openai", "minimax", "elevenlabs", "chatterbox", "dia")
NONE = "none"
BACKENDS = ("fs", "s3", "noop")
PRECISIONS = ("float32", "float16", "bfloat16")
WORKERS_MAX = 4  # of the automatic count; more can be asked for
DATA_DIR = Path("~/.local/share/voicewire")

PEPPER_CHARS = 32
JWT_SECRET_BYTES = 32  # RFC 7518, section 3.2

KIB = 1024
MIB = 1024 * KIB
HOUR_S = 3_600.0
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What an operator can set. `_s` are seconds, `_ms` milliseconds, `_bytes` bytes.

    Raises `ConfigError` when a value is not allowed.
    """

    host: str = setting("127.0.0.1", "address to listen on")
    port: int = setting(8080, "port to listen on; 0 takes a free one", 0, 65_535)
    public_url: str = setting("", "address under which browsers reach this server, when a proxy stands before it")
    allowed_origins: tuple[str, ...] = setting(
        (), "further origins whose pages may connect; the server's own always may"
    )
    local_access: bool | None = setting(
        None, "let pages on this machine in without a key; auto: on a loopback host without a public_url"
    )
    bootstrap_key: str = setting("", "the first API key; empty: one is made at the first start", secret=True)
    ticket_s: float = setting(30.0, "how long a one-time ticket is good for", 1, HOUR_S)
    admin_host: str = setting("127.0.0.1", "address that admin_port listens on")
    admin_port: int = setting(0, "port of its own for what operators do; 0: the same port as everything", 0, 65_535)
    wyoming_host: str = setting("127.0.0.1", "address for Home Assistant, which shows no key: of a network you trust")
    wyoming_port: int = setting(0, "port for Home Assistant, 10200 by custom; 0: none", 0, 65_535)
    wyoming_announce: bool = setting(False, "whether the network is told of that port, so that it is found")
    forwarded_allow: tuple[str, ...] = setting(
        (), "addresses or networks of proxies whose word on who calls is believed"
    )

    data_dir: Path = setting(DATA_DIR, "folder for everything that is kept")  # noqa: RUF009 - a Path is immutable
    redis_url: str = setting("", "redis://, rediss:// or unix:// address; empty: an embedded Redis", secret=True)
    postgres_url: str = setting("", "postgresql:// address; empty: an embedded PostgreSQL", secret=True)
    journal_ms: int = setting(50, "how often what a resume needs is written to Redis", 1, 1_000)
    log_level: str = setting("info", "least severity that is logged", choices=("debug", "info", "warning", "error"))
    log_format: str = setting("text", "how a log line is written", choices=("text", "json"))

    sign_up: bool | None = setting(None, "whether people may make accounts; auto: with billing")
    billing: bool = setting(False, "whether the balance limits speech; what is used is recorded either way")
    terms_version: str = setting("", "version of the terms that must be accepted before speech; empty: none")
    key_pepper: str = setting("", "what API keys are hashed with; empty: made at the first start", secret=True)
    jwt_secret: str = setting(
        "", "signs the tokens of people, 32 bytes or more; empty: made at the first start", secret=True
    )
    smtp_url: str = setting("", "smtp:// or smtps:// address; empty: mail is written to data_dir/mail", secret=True)
    mail_from: str = setting("", "sender of mail; empty: voicewire at the host of public_url")
    oidc_issuers: tuple[str, ...] = setting((), "https:// addresses of OpenID Connect issuers of people")
    oidc_client_id: str = setting("", "what the issuers know this server as")
    oidc_client_secret: str = setting("", "what it shows the issuers", secret=True)
    oidc_audience: str = setting("", "audience of tokens that are taken; empty: oidc_client_id")

    engines: tuple[str, ...] = setting(
        ("espeak",), "engines to run here; none: workers elsewhere do all", choices=(*ENGINES, NONE)
    )
    default_model: str = setting("espeak", "model that speaks when none is named")
    kokoro_path: str = setting("", "folder with Kokoro's weights; empty: taken from the hub")
    kokoro_device: str = setting("cpu", "torch device for Kokoro, such as cpu or cuda:0")
    chatterbox_path: str = setting("", "folder with Chatterbox' weights; empty: taken from the hub")
    chatterbox_device: str = setting("cpu", "torch device for Chatterbox")
    chatterbox_multilingual: bool = setting(False, "whether Chatterbox' model of 23 languages is taken")
    chatterbox_samples: str = setting("", "folder of samples, each with its recorded consent, whose voices are cloned")
    chatterbox_python: str = setting("", "Python of the environment with chatterbox-tts; empty: this one")
    dia_path: str = setting("", "folder with Dia's weights; empty: taken from the hub")
    dia_device: str = setting("cpu", "torch device for Dia")
    dia_precision: str = setting("float32", "numbers that Dia reckons with", choices=PRECISIONS)
    dia_samples: str = setting("", "folder of samples, each with its recorded consent, whose voices are followed")
    dia_python: str = setting("", "Python of the environment with nari-tts; empty: this one")
    openai_url: str = setting("https://api.openai.com/v1", "server that speaks POST audio/speech below this address")
    openai_key: str = setting("", "key for it; empty: it takes none", secret=True)
    openai_model: str = setting("tts-1", "model that it is asked for")
    openai_voices: str = setting("", "its voices, as id:name:language:gender, comma between; empty: it is asked")
    openai_rate_hz: int = setting(24_000, "rate of the PCM that it answers with", 8_000, 48_000)
    minimax_url: str = setting("https://api.minimax.io/v1", "address of MiniMax")
    minimax_key: str = setting("", "key for MiniMax", secret=True)
    minimax_group: str = setting("", "group at MiniMax, for keys that need one")
    minimax_model: str = setting("speech-2.6-turbo", "model of MiniMax")
    minimax_voices: str = setting("", "voices of MiniMax, as id:name:language:gender; empty: three of them")
    elevenlabs_url: str = setting("https://api.elevenlabs.io", "address of ElevenLabs")
    elevenlabs_key: str = setting("", "key for ElevenLabs", secret=True)
    elevenlabs_model: str = setting("eleven_flash_v2_5", "model of ElevenLabs")
    elevenlabs_voices: str = setting("", "voices of ElevenLabs, as id:name:language:gender; empty: the account's")
    upstream_lanes: int = setting(8, "utterances that one worker asks a server of others for at once", 1, 256)
    upstream_timeout_s: float = setting(20.0, "how long such a server may send no audio", 0.1, 60)
    workers: int = setting(0, f"worker processes; 0: one for each core, at most {WORKERS_MAX}", 0, 256)
    queue_limit: int = setting(512, "blocks that may wait for a worker; beyond it new ones are refused", 1, 100_000)
    queue_wait_ms: int = setting(
        10_000, "how long an utterance may wait for a worker; longer, it is refused", 50, 60_000
    )
    cache_bytes: int = setting(64 * MIB, "memory for spoken blocks that may be asked for again; 0: none", 0, 1 << 40)
    cache: str = setting("fs", "where spoken blocks are kept beyond memory; noop: nowhere", choices=BACKENDS)
    cache_dir: str = setting("", "folder of the cache fs, which gateways may share; empty: cache in data_dir")
    cache_disk_bytes: int = setting(2_048 * MIB, "disk for the cache fs; the least recently used go", MIB, 1 << 40)
    cache_wait_ms: int = setting(250, "how long a block may wait for the cache before it is made", 1, 10_000)
    cache_takes: bool = setting(
        True, "whether what engines give is kept without loss, for formats not asked for yet, as far as there is time"
    )
    cache_share: bool = setting(False, "whether tenants share what was spoken with a voice that all of them have")
    cache_s3_url: str = setting("", "s3://bucket/prefix of the cache s3")
    cache_s3_endpoint: str = setting("", "address of a server that speaks S3; empty: Amazon's")
    cache_s3_region: str = setting("", "region of the bucket; empty: as AWS_REGION says")
    cache_s3_key_id: str = setting("", "access key of the cache s3; empty: as the machine's role or AWS_ variables say")
    cache_s3_secret: str = setting("", "secret of that key", secret=True)

    jobs_at_once: int = setting(
        4, "texts of jobs that this gateway speaks at once; 0: it leaves them to others", 0, 256
    )
    jobs_dir: str = setting("", "folder for what jobs make, one for all gateways; empty: jobs in data_dir")
    jobs_keep_s: float = setting(
        24.0 * HOUR_S, "how long a job and its audio are kept when it is over", 60, 8_760 * HOUR_S
    )
    jobs_bytes_max: int = setting(
        4_096 * MIB, "audio of jobs that is kept; beyond it the oldest of whoever keeps most goes", MIB, 1 << 40
    )
    webhook_private: bool = setting(False, "whether webhooks may go to networks that are not public, and to any port")

    twilio_auth_token: str = setting("", "what Twilio signs its requests with; empty: calls.toml says", secret=True)
    call_webhook: str = setting("", "address that is asked what to say in calls; empty: applications speak into them")
    call_webhook_secret: str = setting(
        "", "whsec_ and base64: what calls' webhooks are signed with; empty: as jobs' to that address", secret=True
    )

    contexts_max: int = setting(16, "utterances open at once on one connection", 1, 1_024)
    text_chars_max: int = setting(10_000, "characters in one utterance on the socket", 1, 10_000_000)
    message_bytes_max: int = setting(64 * KIB, "bytes in one message of a client", KIB, 16 * MIB)
    body_bytes_max: int = setting(MIB, "bytes in the body of one HTTP request", KIB, 1 << 30)
    streams_max: int = setting(4_000, "connections that may stream at once", 1, 1_000_000)
    connections_unauthenticated_max: int = setting(
        2_000, "connections that have not yet said who they are", 1, 1_000_000
    )
    address_unauthenticated_max: int = setting(20, "of these, from one address", 1, 1_000_000)
    messages_max: int = setting(10_000, "messages that one connection may send in ten seconds", 10, 10_000_000)
    requests_max: int = setting(1_000, "HTTP requests that are answered at once; beyond it: busy", 1, 1_000_000)

    hello_s: float = setting(5.0, "how long a new connection may take to say who it is", 0.05, 60)
    request_s: float = setting(10.0, "how long a client may take to say an HTTP request, its body aside", 0.05, 600)
    trickle_s: float = setting(
        20.0, "how long a client may send a body, or read an answer, slower than 512 bytes a second", 0.05, 600
    )
    idle_s: float = setting(60.0, "how long a connection may say nothing while nothing plays", 0.05, 24 * HOUR_S)
    stall_s: float = setting(5.0, "how long a peer may not read before it is closed", 0.05, 60)
    outbox_bytes_max: int = setting(256 * KIB, "bytes waiting for one peer to read", 16 * KIB, 16 * MIB)
    drain_s: float = setting(60.0, "how long running streams may go on after SIGTERM", 0, HOUR_S)

    tick_ms: int = setting(5, "how often due audio is written", 1, 100)
    lead_ms: int = setting(3_000, "audio sent ahead of the listener", 100, HOUR_MS)
    lead_ms_max: int = setting(30_000, "most that a client may ask to be ahead", 100, HOUR_MS)
    dialect_lead_ms: int = setting(
        3_000, "audio sent ahead on vendors' sockets that can be interrupted: what is paid and not heard", 100, HOUR_MS
    )
    prefetch_ms: int = setting(2_000, "audio made ahead of what is sent", 0, HOUR_MS)
    first_wait_ms: int = setting(400, "how long the first clause may wait for its end before it is spoken", 0, 60_000)
    resume_s: float = setting(60.0, "how long a lost connection can be resumed; 0: never", 0, HOUR_S)
    resume_bytes_max: int = setting(512 * KIB, "audio kept for a resume, for each utterance", 0, 1 << 30)

    def __post_init__(self) -> None:
        refuse([*problems_by_row(settings(), self), *_problems_across(self)])
        object.__setattr__(self, "data_dir", self.data_dir.expanduser().absolute())

    @classmethod
    def from_env(cls, environ: Mapping[str, str], **overrides: object) -> Config:
        """Read `VOICEWIRE_*` of `environ`; `overrides` that are not None, as from the command line, win.

        An empty variable counts as not set. Strings are parsed as the variables are. Raises `ConfigError`.
        """
        given: dict[str, object] = {variable("data_dir"): _default_data_dir(environ)} | variables(settings(), environ)
        given |= {variable(name): value for name, value in overrides.items() if value is not None}
        return cls(**parse(settings(), given))

    @property
    def engines_here(self) -> tuple[str, ...]:
        """The engines of this process, none of them where `engines` says so."""
        return tuple(name for name in self.engines if name != NONE)

    @property
    def worker_count(self) -> int:
        """Worker processes to start: `workers`, or one for each usable core up to `WORKERS_MAX`."""
        return self.workers or min(_cores(), WORKERS_MAX)

    @property
    def trusts_local(self) -> bool:
        """Whether callers need no key: as set, else only where nobody but this machine can call.

        Behind a proxy on this machine every caller looks local, so a `public_url` ends the trust.
        """
        alone = is_loopback(self.host) and not self.public_url
        return alone if self.local_access is None else self.local_access


def settings() -> tuple[Setting, ...]:
    """Every setting there is, in the order of `Config`."""
    return rows(Config)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _default_data_dir(environ: Mapping[str, str]) -> str:
    data_home = environ.get("XDG_DATA_HOME", "")
    # the XDG base directory specification has relative paths ignored
    return f"{data_home}/voicewire" if data_home.startswith("/") else str(DATA_DIR)


def _problems_across(config: Config) -> Iterator[str]:
    if NONE in config.engines and len(config.engines) > 1:
        yield f"{variable('engines')} is {NONE}, or names engines"
    if config.lead_ms > config.lead_ms_max:
        yield f"{variable('lead_ms')} must not be more than {variable('lead_ms_max')}, {config.lead_ms_max}"
    if config.public_url and not _is_origin(config.public_url.rstrip("/")):
        yield f"{variable('public_url')} must be http:// or https:// and a host, without a path"
    yield from _secret_problems(config)
    if config.admin_port and config.admin_port == config.port:
        yield f"{variable('admin_port')} must be another than {variable('port')}"
    if config.wyoming_announce and not config.wyoming_port:
        yield f"{variable('wyoming_announce')} needs {variable('wyoming_port')}"
    if not all(map(_is_network, config.forwarded_allow)):
        yield f"{variable('forwarded_allow')} must be a list of addresses or networks such as 10.0.0.0/8"
    if not all(map(_is_origin, config.allowed_origins)):
        yield f"{variable('allowed_origins')} must be a list of origins such as https://example.org, comma between"
    if not all(urlsplit(each).scheme in {"https", "http"} and urlsplit(each).hostname for each in config.oidc_issuers):
        yield f"{variable('oidc_issuers')} must be a list of https:// addresses, comma between"
    yield from _address_problems(config)
    yield from _cache_problems(config)


def _secret_problems(config: Config) -> Iterator[str]:
    if config.bootstrap_key and not well_formed(config.bootstrap_key):
        yield f"{variable('bootstrap_key')} needs 8 to 256 visible ASCII characters"
    if config.key_pepper and len(config.key_pepper) < PEPPER_CHARS:
        yield f"{variable('key_pepper')} needs at least {PEPPER_CHARS} characters"
    if config.jwt_secret and len(config.jwt_secret.encode()) < JWT_SECRET_BYTES:
        yield f"{variable('jwt_secret')} needs at least {JWT_SECRET_BYTES} bytes"


def _address_problems(config: Config) -> Iterator[str]:
    """An address may hold a password and is not repeated."""
    if config.redis_url and _scheme(config.redis_url) not in {"redis", "rediss", "unix"}:
        yield f"{variable('redis_url')} must begin with redis://, rediss:// or unix://"
    if config.postgres_url and _scheme(config.postgres_url) not in {"postgresql", "postgres"}:
        yield f"{variable('postgres_url')} must begin with postgresql://"
    for name in ("openai_url", "minimax_url", "elevenlabs_url"):
        if _scheme(getattr(config, name)) not in {"http", "https"}:
            yield f"{variable(name)} must begin with https:// or http://"
    if config.call_webhook and _scheme(config.call_webhook) not in {"http", "https"}:
        yield f"{variable('call_webhook')} must begin with https:// or http://"
    if config.smtp_url and _scheme(config.smtp_url) not in {"smtp", "smtps"}:
        yield f"{variable('smtp_url')} must begin with smtp:// or smtps://"


def _cache_problems(config: Config) -> Iterator[str]:
    if (config.cache == "s3" or config.cache_s3_url) and not re.fullmatch(r"s3://[^/@]+(/[^@]*)?", config.cache_s3_url):
        yield f"{variable('cache_s3_url')} must be s3://bucket or s3://bucket/prefix"
    if config.cache_s3_endpoint and not _is_origin(config.cache_s3_endpoint.rstrip("/")):
        yield f"{variable('cache_s3_endpoint')} must be http:// or https:// and a host, without a path"
    if bool(config.cache_s3_key_id) != bool(config.cache_s3_secret):
        yield f"{variable('cache_s3_key_id')} and {variable('cache_s3_secret')} go together"


def _scheme(address: str) -> str:
    try:
        return urlsplit(address).scheme
    except ValueError:
        return ""


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _is_origin(text: str) -> bool:
    """Whether `text` is as browsers write an origin: scheme, host in lower case, port if it is not the default."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    bracketed = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}
    if parts.scheme not in default or not host or port == default[parts.scheme]:
        return False
    return text == f"{parts.scheme}://{bracketed}" + (f":{port}" if port else "")
