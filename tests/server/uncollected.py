"""A gateway whose garbage nobody collects. Run as a process; on SIGUSR1 it writes what is left of sessions.

`python -m tests.server.uncollected serve --data DIR …`: the file is `DIR/alive.json`, `{class: objects}`.
"""

from __future__ import annotations

import gc
import json
import signal
import sys
from collections import Counter
from pathlib import Path

from voicewire.__main__ import main
from voicewire.context import Context
from voicewire.engines.ticket import Ticket
from voicewire.server.bill import Bill
from voicewire.server.live.live import Live
from voicewire.server.live.live_context import LiveContext
from voicewire.server.live.wire import WireProtocol
from voicewire.server.timeouts import TimedHttp
from voicewire.session import Session
from voicewire.synthesis import BlockInMaking, Synthesis

LEFT = (BlockInMaking, Bill, Context, Live, LiveContext, Session, Synthesis, Ticket, TimedHttp, WireProtocol)


def tell(*_: object) -> None:
    """Write the file in one go."""
    folder = Path(sys.argv[sys.argv.index("--data") + 1])
    alive = Counter(type(each).__name__ for each in gc.get_objects() if isinstance(each, LEFT))
    part = folder / "alive.part"
    part.write_text(json.dumps(alive))
    part.rename(folder / "alive.json")


if __name__ == "__main__":
    gc.enable = lambda: None
    signal.signal(signal.SIGUSR1, tell)
    sys.exit(main())
