"""Whether a request comes from Twilio: https://www.twilio.com/docs/usage/security#validating-requests."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

SIGNATURE = "x-twilio-signature"
SETTINGS = "x-twilio-webhooks-signature-settings"
ALGORITHMS: Mapping[str, str] = MappingProxyType({"": "sha1", "HMAC_SHA1": "sha1", "HMAC_SHA256": "sha256"})
PORTS: Mapping[str, int] = MappingProxyType({"https": 443, "http": 80, "wss": 443, "ws": 80})


def algorithm_of(settings: str) -> str | None:
    """Return the hash that the header `SETTINGS`, as `key=…,algorithm=HMAC_SHA256`, names; None: one we do not know."""
    found = re.search(r"(?:^|[,;\s])algorithm=([\w-]+)", settings)
    return ALGORITHMS.get(found[1] if found else "")


def sign(secret: str, url: str, form: Iterable[tuple[str, str]] = (), algorithm: str = "sha1") -> str:
    """Return the signature over `url` and the fields of a form: each name once for each of its values, in order."""
    signed = url + "".join(name + value for name, value in sorted(set(form)))
    return base64.b64encode(hmac.digest(secret.encode(), signed.encode("utf-8", "surrogatepass"), algorithm)).decode()


def signed_by(secret: str, headers: Mapping[str, str], url: str, form: Iterable[tuple[str, str]] = ()) -> bool:
    """Whether `headers` carry the signature of who has `secret`. Twilio's own URL may name the port, or not."""
    algorithm, shown = algorithm_of(headers.get(SETTINGS, "")), headers.get(SIGNATURE, "")
    if not secret or algorithm is None or not shown.isascii():
        return False
    fields = list(form)
    return any(hmac.compare_digest(sign(secret, each, fields, algorithm), shown) for each in _spellings(url))


def _spellings(url: str) -> Iterator[str]:
    yield url
    parts = urlsplit(url)
    if parts.port is None:
        yield parts._replace(netloc=f"{parts.netloc}:{PORTS[parts.scheme]}").geturl()
    else:
        yield parts._replace(netloc=parts.netloc.rpartition(":")[0]).geturl()
