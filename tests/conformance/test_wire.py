"""The frames that we write ourselves, read by the library that we would otherwise write them with."""

from __future__ import annotations

import pytest
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from voicewire.frames import BINARY_OPCODE, TEXT_OPCODE
from voicewire.server.live.wire import frame_header

SIZES = [0, 1, 12, 124, 125, 126, 127, 255, 256, 65_534, 65_535, 65_536, 65_537, 1 << 20]


def parse(data: bytes) -> Frame:
    """Parse one frame with nothing behind it."""
    stream = StreamReader()
    stream.feed_data(data)
    parsing = Frame.parse(stream.read_exact, mask=False)
    with pytest.raises(StopIteration) as parsed:
        next(parsing)
    assert not stream.buffer
    frame: Frame = parsed.value.value
    return frame


@pytest.mark.parametrize("opcode", [TEXT_OPCODE, BINARY_OPCODE])
@pytest.mark.parametrize("size", SIZES)
def test_our_frames_are_those_of_the_library(opcode: int, size: int) -> None:
    payload = bytes(index & 0x7F for index in range(size))
    data = frame_header(opcode, size) + payload
    assert data == Frame(Opcode(opcode), payload).serialize(mask=False)
    frame = parse(data)
    assert (frame.opcode, frame.data, frame.fin) == (opcode, payload, True)
    assert (frame.rsv1, frame.rsv2, frame.rsv3) == (False, False, False)
