"""Which pages are this server's own, and what they may reach."""

from __future__ import annotations

from voicewire.config import Config, is_loopback

HTTP_PORT = 80  # which browsers leave out


def own_origins(config: Config, port: int) -> frozenset[str]:
    """Return the origins of this server's own pages: where it listens, on `port`, and where proxies show it."""
    own = public_origins(config, port)
    return own | _origins(config.admin_host, config.admin_port) if config.admin_port else own


def public_origins(config: Config, port: int) -> frozenset[str]:
    """Return those that everybody may know: not where operators come in."""
    return _origins(config.host, port) | ({config.public_url.rstrip("/")} if config.public_url else set())


def _origins(host: str, port: int) -> frozenset[str]:
    names = {"127.0.0.1", "localhost", "[::1]"} if is_loopback(host) else {f"[{host}]" if ":" in host else host}
    return frozenset(f"http://{name}" if port == HTTP_PORT else f"http://{name}:{port}" for name in names)


def sockets_of(origins: frozenset[str]) -> str:
    """Return these hosts as WebSocket sources of a content security policy; not every browser counts them as 'self'.

    An address of IPv6 cannot be written there, so that browsers would complain of it.
    """
    return " ".join(sorted("ws" + each.removeprefix("http") for each in origins if "[" not in each))
