"""Passwords: argon2id (RFC 9106) in two threads of their own, so that logins cost the server no more than that."""

from __future__ import annotations

import asyncio
import base64
import secrets
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from voicewire.errors import RETRY_MS, Busy

T = TypeVar("T")

PASSWORD_CHARS = (10, 256)
THREADS = 2
WAITING_MAX = 32  # some seconds of work

# What is tried first and is long enough; digits and case around it do not help.
OBVIOUS = frozenset(
    {
        "1234567890", "0123456789", "0987654321", "9876543210", "12345678910", "1q2w3e4r5t", "1qaz2wsx3edc",
        "administrator", "changeme", "correcthorsebatterystaple", "iloveyou", "letmeinplease", "password",
        "passwordpassword", "qwertyuiop", "qwertzuiop", "azertyuiop", "asdfghjkl", "superman", "trustno",
        "voicewire", "welcome",
    }
)  # fmt: skip


class Work(NamedTuple):
    """What one hash costs, as RFC 9106 has it where memory is short, but one lane: more are further threads."""

    passes: int = 3
    memory_kib: int = 64 * 1024
    lanes: int = 1


class Checked(NamedTuple):
    """Whether the password was right, and a better hash of it where the stored one was made with less work."""

    right: bool
    renewed: str | None = None


class Passwords:
    """Hashes and checks. What waits is bounded: beyond `waiting_max` callers are refused with `Busy`."""

    def __init__(
        self,
        work: Work | None = None,
        waiting_max: int = WAITING_MAX,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        work = work or Work()
        self._hasher = PasswordHasher(work.passes, work.memory_kib, work.lanes)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
        self._waiting_max = waiting_max
        self._waiting = 0
        self._nobody = _nobody(self._hasher, random_bytes)

    async def hash(self, password: str) -> str:
        """Return what is kept of `password`."""
        return await self._run(lambda: self._hasher.hash(_octets(password)))

    async def check(self, password: str, kept: str | None) -> Checked:
        """Say whether `kept` was made of `password`. Without `kept` the same work is done, and the answer is no."""
        return await self._run(lambda: self._check(_octets(password), kept))

    def close(self) -> None:
        """Forget what waits, and end the threads when they have done."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _check(self, password: bytes, kept: str | None) -> Checked:
        try:
            self._hasher.verify(kept or self._nobody, password)
        except (VerificationError, InvalidHashError):
            return Checked(False)
        if kept is None:
            return Checked(False)
        return Checked(True, self._hasher.hash(password) if self._hasher.check_needs_rehash(kept) else None)

    async def _run(self, work: Callable[[], T]) -> T:
        with self._place():
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._waiting >= self._waiting_max:
            raise Busy(retry_after_ms=RETRY_MS)
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1


def password_problem(password: str, email: str = "") -> str:
    """Say what is wrong with a new password, or nothing: too short, too long, or among the first that are tried."""
    shortest, longest = PASSWORD_CHARS
    if not shortest <= len(password) <= longest:
        return f"a password has {shortest} to {longest} characters"
    plain = password.casefold()
    core = plain.strip("0123456789!?.,-_*#$ ")
    person = email.casefold().partition("@")[0]
    known = OBVIOUS | {each for each in (email.casefold(), person) if each}
    if {plain, core} & known or len(set(plain)) <= 2:
        return "this password is among the first that are tried"
    return ""


def _octets(password: str) -> bytes:
    # keyboards differ in how they compose ü: RFC 8265, section 4.2
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")


def _nobody(hasher: PasswordHasher, random_bytes: Callable[[int], bytes]) -> str:
    """A hash of no password, as costly to check as a real one."""
    salt, digest = (
        base64.b64encode(random_bytes(size)).decode().rstrip("=") for size in (hasher.salt_len, hasher.hash_len)
    )
    work = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${work}${salt}${digest}"
