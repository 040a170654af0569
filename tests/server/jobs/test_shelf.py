"""What jobs make, in a folder: it goes on where it is known to be whole; a file is there as a whole or not at all."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile

from tests.server.jobs.asking import MANNER
from voicewire.codecs.base import FileKind
from voicewire.server.jobs.shelf import STRAY_S, Shelf, Spool
from voicewire.server.jobs.sweep import surplus
from voicewire.storage.store import Row

TEXT = "Hello you."
HALF = (np.sin(np.arange(12_000) / 10) * 9_000).astype("<i2")


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "jobs")


def spoken(spool: Spool) -> None:
    spool.write(HALF.tobytes(), [(0, 5, 0, 12_000)])
    spool.write(HALF.tobytes(), [(6, 9, 12_000, 23_999)])
    spool.sync()


def test_a_folder_that_cannot_be_written_is_found_out_before_anything_is_asked(shelf: Shelf, tmp_path: Path) -> None:
    shelf.prepare()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        Shelf(tmp_path / "file").prepare()


def test_a_file_and_its_words_come_of_what_was_written(shelf: Shelf) -> None:
    spool = shelf.open("j", 0, 0, 0)
    spoken(spool)
    made = spool.finish(MANNER, TEXT)
    data = shelf.audio("j", 0, FileKind.WAV).read_bytes()
    samples, rate_hz = soundfile.read(io.BytesIO(data), dtype="int16")
    assert (rate_hz, len(samples), made.samples) == (24_000, 24_000, 24_000)
    assert np.array_equal(samples, np.concatenate([HALF, HALF]))
    assert (made.size_bytes, made.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    words: dict[str, Any] = msgspec.json.decode(shelf.words("j", 0) or b"")
    assert words == {"words": [[0, 5, 0, 500], [6, 9, 500, 999]], "audio_ms": 1_000, "complete": True}
    spool.drop()
    assert sorted(path.name for path in shelf.audio("j", 0, FileKind.WAV).parent.iterdir()) == [
        "0.audio.wav", "0.words.json",
    ]  # fmt: skip


def test_what_was_not_known_to_be_kept_is_made_again(shelf: Shelf) -> None:
    spool = shelf.open("j", 0, 0, 0)
    spool.write(HALF.tobytes(), [(0, 5, 0, 12_000)])
    kept = spool.samples, spool.words_bytes
    spool.write(HALF.tobytes()[:999], [(6, 7, 1, 2)])
    spool.close()
    again = shelf.open("j", 0, *kept)
    assert again.whole
    assert (again.samples, again.words_bytes) == kept
    again.write(HALF.tobytes(), [(6, 9, 12_000, 23_999)])
    assert again.finish(MANNER, TEXT).samples == 24_000
    again.close()


def test_where_it_is_not_here_it_begins_anew(shelf: Shelf) -> None:
    spool = shelf.open("j", 3, 12_000, 20)
    assert (spool.whole, spool.samples, spool.words_bytes) == (False, 0, 0)
    spool.close()


def test_a_long_file_of_every_kind_is_made_in_pieces(shelf: Shelf) -> None:
    for number, kind in enumerate(FileKind):
        manner = msgspec.structs.replace(MANNER, format=kind)
        spool = shelf.open("j", number, 0, 0)
        for _ in range(60):
            spool.write(HALF.tobytes(), [])
        made = spool.finish(manner, TEXT)
        assert made.samples == 60 * 12_000
        assert shelf.audio("j", number, kind).stat().st_size == made.size_bytes > 0
        spool.drop()


def test_a_text_or_a_job_is_dropped_whole(shelf: Shelf) -> None:
    for number in (1, 10):
        spool = shelf.open("j", number, 0, 0)
        spool.finish(MANNER, "")
        spool.close()
    shelf.drop_text("j", 1)
    assert shelf.words("j", 1) is None
    assert shelf.words("j", 10) is not None
    assert shelf.strays() == []
    folder = shelf.audio("j", 10, FileKind.WAV).parent
    os.utime(folder, (0, folder.stat().st_mtime - STRAY_S - 1))
    assert shelf.strays() == ["j"]
    shelf.drop("j")
    assert shelf.strays() == []


def test_the_oldest_of_whoever_keeps_most_goes_first() -> None:
    def row(tenant: str, number: int, size: int, total: int) -> dict[str, Any]:
        return {"job": f"{tenant}{number}", "number": 0, "tenant": tenant, "size_bytes": size, "tenant_bytes": total}

    rows: list[Row] = [
        row("much", 1, 40, 120),
        row("little", 1, 30, 30),
        row("much", 2, 40, 120),
        row("much", 3, 40, 120),
    ]
    assert surplus(rows, 150) == []
    assert [each["job"] for each in surplus(rows, 100)] == ["much1", "much2"]
    assert len(surplus(rows, 0)) == 4
