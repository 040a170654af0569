"""Machines for a benchmark: network namespaces on one bridge, or this machine itself where none can be made."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

NET = "10.213.77"
LOOPBACK = "127.0.0.1"
IP = "/usr/sbin/ip"


@dataclass(frozen=True, slots=True)
class Machine:
    """`prefix` runs a command there; others reach it at `address`."""

    address: str
    prefix: tuple[str, ...] = ()
    wire: tuple[str, ...] = ()  # the command that cuts or mends its link, but for the last word

    def link(self, *, up: bool) -> bool:
        """Cut its link, or mend it; return whether it has one that can be cut."""
        if self.wire:
            _run(*self.wire, "up" if up else "down")
        return bool(self.wire)


@contextlib.contextmanager
def machines(names: Sequence[str]) -> Iterator[dict[str, Machine]]:
    """Machines by name, all on one network, whose bridge is on the first."""
    tag = f"vw{os.getpid() % 10_000}"
    spaces = [f"{tag}-{name}" for name in names]
    try:
        try:
            made = _make(tag, spaces)
        except (OSError, subprocess.CalledProcessError):
            yield {name: Machine(LOOPBACK) for name in names}
            return
        yield dict(zip(names, made, strict=True))
    finally:
        for space in spaces:
            with contextlib.suppress(OSError, subprocess.CalledProcessError):
                _run(IP, "netns", "del", space)


def _make(tag: str, spaces: Sequence[str]) -> list[Machine]:
    hub = spaces[0]
    for space in spaces:
        _run(IP, "netns", "add", space)
        _run(IP, "-n", space, "link", "set", "lo", "up")
    _run(IP, "-n", hub, "link", "add", "bridge", "type", "bridge")
    _run(IP, "-n", hub, "addr", "add", f"{NET}.1/24", "dev", "bridge")
    _run(IP, "-n", hub, "link", "set", "bridge", "up")
    return [Machine(f"{NET}.1", _inside(hub)), *(_join(tag, hub, at, each) for at, each in enumerate(spaces[1:], 2))]


def _join(tag: str, hub: str, at: int, space: str) -> Machine:
    near, far = f"{tag}a{at}", f"{tag}b{at}"
    _run(IP, "link", "add", near, "netns", hub, "type", "veth", "peer", "name", far, "netns", space)
    _run(IP, "-n", hub, "link", "set", near, "master", "bridge")
    _run(IP, "-n", hub, "link", "set", near, "up")
    _run(IP, "-n", space, "addr", "add", f"{NET}.{at}/24", "dev", far)
    _run(IP, "-n", space, "link", "set", far, "up")
    return Machine(f"{NET}.{at}", _inside(space), (IP, "-n", hub, "link", "set", near))


def _inside(space: str) -> tuple[str, ...]:
    return (IP, "netns", "exec", space)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
