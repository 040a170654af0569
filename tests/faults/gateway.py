"""The real program, with what no setting reaches: `python -m tests.faults.gateway serve …`.

`TONE` holds the tone engine's options and `PING_S` the keepalive's seconds, both JSON.
"""

from __future__ import annotations

import json
import os
import sys
from unittest import mock

from voicewire.__main__ import main
from voicewire.engines.base import EngineSpec
from voicewire.server import app, pools


def _spec(factory: str, options: dict[str, str | int | float | bool]) -> EngineSpec:
    tone: dict[str, str | int | float | bool] = json.loads(os.environ["TONE"])
    return EngineSpec(factory, options | tone if ".tone:" in factory else options)


if __name__ == "__main__":
    ping_s = json.loads(os.environ["PING_S"])
    with mock.patch.object(pools, "EngineSpec", _spec), mock.patch.object(app, "PING_S", ping_s):
        sys.exit(main())
