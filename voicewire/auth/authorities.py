"""Whose certificates are believed when we ask somebody over HTTPS."""

from __future__ import annotations

import ssl
from functools import cache


@cache
def authorities() -> ssl.SSLContext:
    """Those of the web, and those that the operator's system trusts: a server of one's own may have a CA of its own.

    For all clients of a process, since reading them takes a tenth of a second; nobody changes it.
    """
    import httpx  # most servers ask nobody

    trust = httpx.create_ssl_context(trust_env=False)
    trust.load_default_certs()
    return trust
