"""Opus packets: their size, their cost in bytes, and the library behind them."""

from __future__ import annotations

import ctypes.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from av import CodecContext, Packet

from tests.codecs.speechlike import snr_db, speechlike
from voicewire.codecs import opus
from voicewire.codecs.opus import OpusDecoder, OpusEncoder
from voicewire.errors import BadRequest
from voicewire.types import OPUS_FRAMES_MS, OPUS_RATES_HZ, Codec, Format, Pcm

SECOND = 24_000


def packets(pcm: Pcm, format: Format) -> list[bytes]:
    encoder = OpusEncoder(format)
    return encoder.encode(pcm) + encoder.flush()


@pytest.mark.parametrize("rate_hz", OPUS_RATES_HZ)
def test_it_looks_two_and_a_half_milliseconds_ahead(rate_hz: int) -> None:
    assert OpusEncoder(Format(Codec.OPUS, rate_hz)).lookahead_samples == rate_hz // 400


@pytest.mark.parametrize("frame_ms", OPUS_FRAMES_MS)
@pytest.mark.parametrize("bitrate", [16_000, 32_000, 96_000])
def test_it_spends_the_bitrate_asked_for(frame_ms: int, bitrate: int) -> None:
    made = packets(speechlike(24_000, 3 * SECOND), Format(frame_ms=frame_ms, bitrate=bitrate))
    assert sum(map(len, made)) * 8 / 3 == pytest.approx(bitrate, rel=0.15)


def test_silence_costs_three_bytes_a_frame() -> None:
    assert {len(packet) for packet in packets(np.zeros(SECOND, np.int16), Format())[1:]} == {3}


@pytest.mark.parametrize("complexity", [0, 5, 10])
def test_every_complexity_is_heard_right(complexity: int) -> None:
    pcm, decoder = speechlike(24_000, SECOND), OpusDecoder(24_000)
    made = packets(pcm, Format(complexity=complexity))
    heard = np.concatenate([decoder.decode(packet) for packet in made])
    assert snr_db(pcm[:-60], heard[60:]) > 20


def test_complexity_and_bitrate_reach_the_encoder() -> None:
    pcm = speechlike(24_000, SECOND)
    plain = packets(pcm, Format())
    assert packets(pcm, Format(complexity=10)) != plain
    assert packets(pcm, Format(bitrate=64_000)) != plain


@pytest.mark.parametrize("heard_at", OPUS_RATES_HZ)
def test_it_decodes_at_any_opus_rate(heard_at: int) -> None:
    decoder = OpusDecoder(heard_at)
    sizes = {decoder.decode(packet).size for packet in packets(speechlike(24_000, SECOND), Format(frame_ms=60))}
    assert sizes == {heard_at * 60 // 1000}


def test_another_decoder_hears_the_same() -> None:
    """PyAV wraps FFmpeg's own Opus decoder, which shares no code with libopus."""
    pcm = speechlike(48_000, 48_000)
    context = CodecContext.create("opus", "r")
    frames = [frame for packet in packets(pcm, Format(rate_hz=48_000)) for frame in context.decode(Packet(packet))]
    heard = np.concatenate([frame.to_ndarray()[0] for frame in frames]) * 32_768
    assert heard.size == pcm.size
    assert snr_db(pcm[:-120], heard[120:].astype(np.int16)) > 20


def test_loud_noise_at_the_highest_bitrate_fits_a_packet() -> None:
    noise = np.random.default_rng(1).integers(-32_768, 32_768, 48_000).astype(np.int16)
    format = Format(rate_hz=48_000, frame_ms=60, bitrate=256_000, complexity=10)
    decoder = OpusDecoder(48_000)
    assert sum(decoder.decode(packet).size for packet in packets(noise, format)) >= noise.size


@pytest.mark.parametrize("junk", [b"", b"\xff", b"\xff\xff\xff", b"\x03\x00" + bytes(50)])
def test_what_is_not_a_packet_is_refused(junk: bytes) -> None:
    with pytest.raises(BadRequest, match="not an Opus packet"):
        OpusDecoder(24_000).decode(junk)


def test_a_decoder_goes_on_after_junk() -> None:
    decoder = OpusDecoder(24_000)
    with pytest.raises(BadRequest):
        decoder.decode(b"\xff")
    assert decoder.decode(packets(speechlike(24_000, 480), Format())[0]).size == 480


class Packages:
    """A folder of installed packages with an `av` in it, as different systems lay it out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.add("av/__init__.py")

    def add(self, name: str) -> str:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
        return str(path)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packages:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    for name in [name for name in sys.modules if name.partition(".")[0] == "av"]:
        monkeypatch.delitem(sys.modules, name)
    return Packages(tmp_path)


@pytest.mark.parametrize(
    "name", ["av.libs/libopus-114e2b1a.so.0.11.1", "av/.dylibs/libopus.0.dylib", "av.libs/libopus-0-1a2b.dll"]
)
def test_the_library_in_the_wheel_is_found(packages: Packages, name: str) -> None:
    packages.add(str(Path(name).with_name("libopusenc-1.so")))
    expected = packages.add(name)
    assert opus._wheel_libopus() == expected


@pytest.mark.usefixtures("packages")
def test_without_a_library_the_error_says_what_to_install() -> None:
    with pytest.raises(ImportError, match="install it"):
        opus._wheel_libopus()


def test_the_wheel_is_enough() -> None:
    """On a machine without libopus; nor does importing the codecs load FFmpeg or libsndfile."""
    script = """
import ctypes.util, sys
ctypes.util.find_library = lambda name: None
import numpy
from voicewire.codecs.base import open_decoder, open_encoder
from voicewire.types import Format
assert not {"av", "soundfile", "opuslib"} & set(sys.modules)
packets = open_encoder(Format()).encode(numpy.zeros(960, numpy.int16))
assert [open_decoder(Format()).decode(packet).size for packet in packets] == [480, 480]
import opuslib.api
assert "libopus" in opuslib.api.libopus._name and "av" in opuslib.api.libopus._name
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


def test_looking_for_the_library_leaves_ctypes_as_it_was() -> None:
    before = ctypes.util.find_library
    opus._import_opuslib()
    assert ctypes.util.find_library is before
