"""The tables: every codec has a line, and a format that no codec can serve is refused before one is opened."""

from __future__ import annotations

from dataclasses import replace

import pytest

from voicewire.codecs.base import FILES, LIVE, FileKind
from voicewire.errors import UnsupportedFormat
from voicewire.types import Codec, Format


def test_every_codec_and_every_kind_of_file_has_its_line() -> None:
    assert set(LIVE) == set(Codec)
    assert set(FILES) == set(FileKind)


@pytest.mark.parametrize(
    ("valid", "change"),
    [
        (Format(), {"rate_hz": 44_100}),
        (Format(), {"rate_hz": 22_050}),
        (Format(), {"frame_ms": 30}),
        (Format(), {"frame_ms": 0}),
        (Format(), {"bitrate": 5_999}),
        (Format(), {"bitrate": 256_001}),
        (Format(), {"complexity": 11}),
        (Format(), {"complexity": -1}),
        (Format(), {"bundle": 0}),
        (Format(), {"bundle": 51}),
        (Format(Codec.PCM_S16LE), {"rate_hz": 7_999}),
        (Format(Codec.PCM_F32LE), {"rate_hz": 48_001}),
        (Format(Codec.PCM_S16LE), {"frame_ms": 101}),
        (Format(Codec.PCM_S16LE, 22_050), {"frame_ms": 5}),  # 110.25 samples
        (Format(Codec.MULAW, 8_000), {"rate_hz": 16_000}),
        (Format(Codec.ALAW, 8_000), {"rate_hz": 24_000}),
    ],
)
def test_a_format_that_does_not_go_together_is_refused(valid: Format, change: dict[str, int]) -> None:
    with pytest.raises(UnsupportedFormat):
        replace(valid, **change)  # type: ignore[arg-type]  # mypy cannot know that the codec is not among them
