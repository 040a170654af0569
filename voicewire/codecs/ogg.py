"""Ogg Opus files (RFC 7845) in Ogg pages (RFC 3533), written while the audio is made."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from itertools import chain

import numpy as np

from voicewire.codecs.opus import OpusEncoder
from voicewire.types import Codec, Format, Pcm

_GRANULES_HZ = 48_000  # Ogg Opus counts at 48 kHz, whatever the rate
_PAGE = struct.Struct("<4sBBqIIIB")
_CRC_AT = 22
_FIRST, _LAST = 2, 4  # header type flags
_LACING_MAX = 255  # lacing values in a page, and bytes behind one of them
_PAGE_PACKETS = 50  # a second of audio: more would delay a seek
_HEAD = struct.Struct("<8sBBHIhB")
_VENDOR = b"voicewire"
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class OggOpusFile:
    """One mono Ogg Opus stream that decodes to exactly the samples put in.

    Pages hold 1, 2, 4 … 50 packets, so that sound starts early and the overhead of pages stays small.
    """

    corrections: tuple[()] = ()

    def __init__(self, rate_hz: int, bitrate: int) -> None:
        packet = Format(Codec.OPUS, rate_hz, bitrate=bitrate)
        self._encoder = OpusEncoder(packet)
        self._granules = _GRANULES_HZ // rate_hz  # in a sample
        self._frame_granules = packet.frame_samples * self._granules
        self._skip_samples = self._encoder.lookahead_samples
        self._pages = _Pages(serial=1)
        self._head = _header_pages(self._pages, rate_hz, self._skip_samples * self._granules)
        self._packets: list[bytes] = []
        self._page_packets = 1
        self._samples = 0  # put in
        self._written = 0  # packets in pages

    def encode(self, pcm: Pcm) -> bytes:
        self._samples += pcm.size
        self._packets += self._encoder.encode(pcm)
        return self._take_head() + b"".join(self._full_pages())

    def finish(self) -> bytes:
        """Push the encoder's lookahead out, and trim by the last granule position (RFC 7845, section 4.4)."""
        silence = np.zeros(self._skip_samples, np.int16)
        self._packets += self._encoder.encode(silence) + self._encoder.flush()
        pages = self._full_pages()
        while (count := _that_fit(self._packets)) < len(self._packets):
            pages.append(self._page(count))
        end = (self._skip_samples + self._samples) * self._granules
        last = self._pages.page(self._packets, end, _LAST)
        return self._take_head() + b"".join(pages) + last

    def _take_head(self) -> bytes:
        head, self._head = self._head, b""
        return head

    def _full_pages(self) -> list[bytes]:
        """Return the pages that are complete; one packet stays behind, for the page that ends the stream."""
        pages = []
        while len(self._packets) > self._page_packets:
            pages.append(self._page(_that_fit(self._packets[: self._page_packets])))
            self._page_packets = min(2 * self._page_packets, _PAGE_PACKETS)
        return pages

    def _page(self, count: int) -> bytes:
        self._written += count
        page = self._pages.page(self._packets[:count], self._written * self._frame_granules)
        del self._packets[:count]
        return page


def ogg_of(packets: Sequence[bytes], rate_hz: int, frame_samples: int) -> bytes:
    """Return the file of packets that are there already, of `frame_samples` at `rate_hz` each, all of which are heard.

    Nothing is skipped: a decoder gives what it gives when the packets come over the live wire.
    """
    pages, granules = _Pages(serial=1), frame_samples * _GRANULES_HZ // rate_hz
    parts = [_header_pages(pages, rate_hz, 0)]
    waiting, at, last = [*packets], 0, False
    while not last:
        count = _that_fit(waiting[at : at + _PAGE_PACKETS])
        page, at = waiting[at : at + count], at + count
        last = at == len(waiting)
        parts.append(pages.page(page, at * granules, _LAST if last else 0))
    return b"".join(parts)


def _header_pages(pages: _Pages, rate_hz: int, pre_skip: int) -> bytes:
    head = _HEAD.pack(b"OpusHead", 1, 1, pre_skip, rate_hz, 0, 0)
    tags = b"OpusTags" + struct.pack("<I", len(_VENDOR)) + _VENDOR + struct.pack("<I", 0)
    return pages.page([head], 0, _FIRST) + pages.page([tags], 0)


class _Pages:
    """Numbers the pages of one logical stream."""

    def __init__(self, serial: int) -> None:
        self._serial = serial
        self._sequence = 0

    def page(self, packets: list[bytes], granule: int, flags: int = 0) -> bytes:
        """Serialize whole packets as one page that ends at `granule`."""
        lacing = bytes(chain.from_iterable(map(_lacing, packets)))
        head = _PAGE.pack(b"OggS", 0, flags, granule, self._serial, self._sequence, 0, len(lacing))
        self._sequence += 1
        page = b"".join((head, lacing, *packets))
        return page[:_CRC_AT] + _checksum(page) + page[_CRC_AT + 4 :]


def _lacing(packet: bytes) -> bytes:
    full, rest = divmod(len(packet), _LACING_MAX)
    return bytes([_LACING_MAX] * full + [rest])


def _that_fit(packets: list[bytes]) -> int:
    values = np.cumsum([len(packet) // _LACING_MAX + 1 for packet in packets])
    return int(np.searchsorted(values, _LACING_MAX, side="right"))


def _checksum(page: bytes) -> bytes:
    """Return Ogg's CRC-32, as the page holds it: zlib's, with every bit the other way round and no inversions."""
    crc = zlib.crc32(page.translate(_REVERSED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return crc.to_bytes(4, "big").translate(_REVERSED)
