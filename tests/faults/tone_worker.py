"""The real worker, with what no setting reaches: `python -m tests.faults.tone_worker worker …`; `TONE` holds JSON."""

from __future__ import annotations

import json
import os
import sys
from unittest import mock

from voicewire.__main__ import main
from voicewire.engines.base import EngineSpec
from voicewire.server import pools


def spec(factory: str, options: dict[str, str | int | float | bool]) -> EngineSpec:
    return EngineSpec(factory, options | json.loads(os.environ["TONE"]))


if __name__ == "__main__":
    with mock.patch.object(pools, "EngineSpec", spec):
        sys.exit(main())
