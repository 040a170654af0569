"""The real program, with what no setting reaches: `python -m tests.faults.gateway serve …`.

`TONE` holds the tone engine's options, `PING_S` the keepalive's seconds and `LEASE_S` those of a job, all JSON. First
blocks do not depend on the load of the machine: runs are compared with each other.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from unittest import mock

from voicewire import pipeline
from voicewire.__main__ import main
from voicewire.engines.base import EngineSpec
from voicewire.server import app, pools
from voicewire.server.jobs import opening


def _spec(factory: str, options: dict[str, str | int | float | bool]) -> EngineSpec:
    tone: dict[str, str | int | float | bool] = json.loads(os.environ["TONE"])
    return EngineSpec(factory, options | tone if ".tone:" in factory else options)


if __name__ == "__main__":
    ping_s, lease_s = json.loads(os.environ["PING_S"]), json.loads(os.environ["LEASE_S"])
    patches = [(pools, "EngineSpec", _spec), (app, "PING_S", ping_s), (opening, "LEASE_S", lease_s)]
    patches += [(pipeline, "SHORTER_FIRST", ())]
    with contextlib.ExitStack() as stack:
        for module, name, value in patches:
            stack.enter_context(mock.patch.object(module, name, value))
        sys.exit(main())
