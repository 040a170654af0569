"""Mail to a mail server."""

from __future__ import annotations

import asyncio
import ipaddress
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

import aiosmtplib

from voicewire.accounts.mail import NotSent, Refused

TIMEOUT_S = 15.0  # for each step of the protocol
TOTAL_S = 60.0  # for a whole mail: a server may drip
PERMANENT = 500  # RFC 5321, section 4.2.1: do not send the same again
SUBMISSION = {"smtp": 587, "smtps": 465}


class SmtpCarrier:
    """An SMTP server: `smtps://` speaks TLS from the start, `smtp://` changes to it where the server offers it.

    A password is sent over TLS only, unless the server is on this machine.
    """

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S, total_s: float = TOTAL_S) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or "localhost"
        self._port = parts.port or SUBMISSION[parts.scheme]
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self._tls = parts.scheme == "smtps"
        self._timeout_s = timeout_s
        self._total_s = total_s

    async def carry(self, message: EmailMessage, /) -> None:
        try:
            async with asyncio.timeout(self._total_s):
                await self._send(message)
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _refusal(error.recipients[0].code) from None
        except aiosmtplib.SMTPResponseException as error:
            raise _refusal(error.code) from None
        except (aiosmtplib.SMTPException, OSError) as error:  # a TimeoutError, too
            raise NotSent(type(error).__name__) from None

    async def _send(self, message: EmailMessage) -> None:
        await aiosmtplib.send(
            message,
            hostname=self._host,
            port=self._port,
            username=self._user,
            password=self._password,
            timeout=self._timeout_s,
            use_tls=self._tls,
            start_tls=False if self._tls else self._must_change(),
        )

    def _must_change(self) -> bool | None:
        return True if self._password and not _is_here(self._host) else None


def _refusal(status: int) -> Exception:
    return Refused(status) if status >= PERMANENT else NotSent(f"status {status}")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
