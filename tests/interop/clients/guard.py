"""Nothing but this machine is called: some packages ignore the address that they are given."""

from __future__ import annotations

import atexit
import os
import sys
from typing import Any

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost", "", None})
ADDRESSED = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
LOOKED_UP = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
STATUS = 70  # of a process that called elsewhere, whatever became of the exception


def stay_here() -> None:
    """From now on, fail for any address but loopback, and at the end once more: packages swallow exceptions."""
    calls: list[str] = []

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        host = _host(event, arguments)
        if host not in LOOPBACK:
            calls.append(f"{event} {host}")
            raise AssertionError(calls[-1])

    sys.addaudithook(look)
    atexit.register(_confess, calls)


def _host(event: str, arguments: tuple[Any, ...]) -> object:
    """Whom an event of `sys.addaudithook` calls, None: nobody."""
    if event in LOOKED_UP:
        host = arguments[0]
        return host.decode() if isinstance(host, bytes) else host
    if event in ADDRESSED and isinstance(arguments[1], tuple):  # a name of Unix's is a string
        return arguments[1][0]
    return None


def _confess(calls: list[str]) -> None:
    if calls:
        print("it called elsewhere:", *calls, sep="\n", file=sys.stderr, flush=True)
        os._exit(STATUS)
