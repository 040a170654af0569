"""Addresses of people, in the one form in which they are compared."""

from __future__ import annotations

import re

EMAIL_CHARS_MAX = 254  # RFC 5321, section 4.5.3.1, less the brackets
LOCAL_CHARS_MAX = 64

# What HTML calls a valid e-mail address, without quoted and international local parts, which next to nobody has.
_LOCAL = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*")


def normal_email(text: str) -> str:
    """Return the address as we keep it: lower case, its domain in ASCII. Raises `ValueError` when it is none.

    The case of a local part matters to no mail server that people use, and to people not at all.
    """
    local, at, domain = text.strip().rpartition("@")
    try:
        address = f"{local.lower()}{at}{_ascii(domain)}"
    except UnicodeError:
        raise ValueError("it is not an e-mail address") from None
    local, _, domain = address.rpartition("@")
    if len(address) > EMAIL_CHARS_MAX or len(local) > LOCAL_CHARS_MAX:
        raise ValueError("it is not an e-mail address")
    if not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(domain):
        raise ValueError("it is not an e-mail address")
    return address


def _ascii(domain: str) -> str:
    return domain.lower() if domain.isascii() else domain.encode("idna").decode()
