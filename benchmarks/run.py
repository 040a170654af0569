"""Runs the benchmarks one after another, in processes of their own; the last line is one JSON object with all of them.

`python -m benchmarks.run [name …]`; without names, all.
"""

from __future__ import annotations

import json
import subprocess
import sys

ALL = {
    "frames": ["benchmarks.frames"],
    "splitter": ["benchmarks.splitter"],
    "codec": ["benchmarks.codec"],
    "pool": ["benchmarks.pool"],
    "first_audio": ["benchmarks.first_audio"],
    "http": ["benchmarks.http"],
    "memory": ["benchmarks.memory"],
    "capacity_cached": ["benchmarks.capacity", "cached"],
    "capacity_bundle": ["benchmarks.capacity", "bundle"],
    "capacity_made": ["benchmarks.capacity", "made"],
}


def main(names: list[str]) -> int:
    unknown = set(names) - set(ALL)
    if unknown:
        print(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    results = {}
    for name in names or list(ALL):
        done = subprocess.run([sys.executable, "-m", *ALL[name]], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            print(f"{name} failed with exit status {done.returncode}", file=sys.stderr)
            return 1
        line = done.stdout.strip().rsplit("\n", 1)[-1]
        print(line, flush=True)
        results[name] = json.loads(line)
    print(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
