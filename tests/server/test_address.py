"""Where commands on the same machine find a server: its address in the data folder, made if it is not there."""

from __future__ import annotations

from pathlib import Path

from voicewire.config import Config
from voicewire.server.people import own_address, tell_address
from voicewire.storage.whereabouts import ADDRESS_FILE


def test_a_server_with_every_store_elsewhere_makes_its_folder(tmp_path: Path) -> None:
    config = Config(data_dir=tmp_path / "new" / "data")
    tell_address(config, 8080)
    assert (config.data_dir / ADDRESS_FILE).read_text() == own_address(config, 8080)
    assert config.data_dir.stat().st_mode & 0o077 == 0
