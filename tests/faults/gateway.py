"""The real program, with the constants that no setting reaches: `python -m tests.faults.gateway serve …`.

`TONE` holds the tone engine's options and `PING_S` the keepalive's seconds, both JSON.
"""

from __future__ import annotations

import json
import os
import sys

from voicewire.__main__ import main
from voicewire.config import Config
from voicewire.server import app


def _engine_options(config: Config, name: str) -> dict[str, str | int | float | bool]:  # noqa: ARG001 - as the original
    options: dict[str, str | int | float | bool] = json.loads(os.environ.get("TONE", "{}"))
    return options if name == "tone" else {}


def _prepare() -> None:
    app._engine_options = _engine_options
    app.PING_S = json.loads(os.environ.get("PING_S", str(app.PING_S)))


if __name__ == "__main__":
    _prepare()
    sys.exit(main())
