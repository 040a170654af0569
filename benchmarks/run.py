"""Runs the benchmarks one after another, in processes of their own; the last line is one JSON object with all of them.

`python -m benchmarks.run [name …]`; without names, all.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys

ALL = {
    "start": ["benchmarks.start"],
    "frames": ["benchmarks.frames"],
    "splitter": ["benchmarks.splitter"],
    "codec": ["benchmarks.codec"],
    "pool": ["benchmarks.pool"],
    "first_audio": ["benchmarks.first_audio"],
    "cache": ["benchmarks.cache"],
    "http": ["benchmarks.http"],
    "auth": ["benchmarks.auth"],
    "memory": ["benchmarks.memory"],
    "ledger": ["benchmarks.ledger"],
    "metering": ["benchmarks.metering"],
    "workers": ["benchmarks.workers"],
    "dialects": ["benchmarks.dialects"],
    "calls": ["benchmarks.calls"],
    "capacity_cached": ["benchmarks.capacity", "cached"],
    "capacity_bundle": ["benchmarks.capacity", "bundle"],
    "capacity_made": ["benchmarks.capacity", "made"],
}

LIMIT_S = 1_800  # a search for the capacity takes minutes, where all steps fail many
ENDS_S = 30  # to stop the server that it started


def figures(name: str) -> dict[str, object] | None:
    """Run a benchmark and return what it reports; None when it fails or hangs, which is said."""
    with subprocess.Popen([sys.executable, "-m", *ALL[name]], stdout=subprocess.PIPE, text=True) as process:
        try:
            said, _ = process.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            print(f"{name} takes longer than {LIMIT_S} s", file=sys.stderr)
            end(process)
            return None
    if process.returncode:
        print(f"{name} failed with exit status {process.returncode}", file=sys.stderr)
        return None
    line = said.strip().rsplit("\n", 1)[-1]
    print(line, flush=True)
    found: dict[str, object] = json.loads(line)
    return found


def end(process: subprocess.Popen[str]) -> None:
    """Interrupt a benchmark, so that it stops what it started."""
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=ENDS_S)
    except subprocess.TimeoutExpired:
        process.kill()


def main(names: list[str]) -> int:
    unknown = set(names) - set(ALL)
    if unknown:
        print(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    results = {name: figures(name) for name in names or list(ALL)}
    print(json.dumps(results))
    return 0 if all(results.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
