"""Tables of an operator, edited while a server runs: taken within seconds, and a broken one changes nothing."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.conftest import Served
from tests.server.dialects.test_aliases import CATALOGUE
from voicewire.config import Config
from voicewire.errors import BadRequest
from voicewire.server.dialects.aliases import FILE, Aliases
from voicewire.server.edits import Edited
from voicewire.server.telephony import accounts

WITHIN_S = 30


async def test_an_edit_is_taken_and_a_broken_one_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    aliases, file = Aliases(), tmp_path / FILE
    edited = Edited(file, partial(Aliases.read, tmp_path), aliases.take)
    with caplog.at_level(logging.INFO, "voicewire"):
        await edited.look()
        file.write_text('[voices]\nours = "bob"\n')
        await edited.look()
        assert aliases.resolve(CATALOGUE, "", "ours").voice == "bob"
        file.write_text('[voices]\nours = "eva"\nbroken\n')
        for _ in range(3):
            await edited.look()
        assert aliases.resolve(CATALOGUE, "", "ours").voice == "bob"
        file.write_text('[voices]\nours = "eva"\n')
        await edited.look()
        assert aliases.resolve(CATALOGUE, "", "ours").voice == "eva"
        file.unlink()
        await edited.look()
        with pytest.raises(BadRequest):
            aliases.resolve(CATALOGUE, "", "ours")
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 4, said
    assert "line 3" in said[1], "where it is broken"


async def test_accounts_at_carriers_are_edited_the_same_way(tmp_path: Path) -> None:
    config, file = Config(data_dir=tmp_path, twilio_auth_token="t"), tmp_path / accounts.FILE
    table = accounts.Accounts.read(config)
    edited = Edited(file, partial(accounts.Accounts.read, config), table.take)
    file.write_text('[[account]]\nid = "AC1"\nsecret = "s"\n')
    await edited.look()
    found = table.find("AC1")
    assert found is not None
    assert (found.id, found.secret) == ("AC1", "s")
    file.write_text('[[account]]\nid = "AC1"\nwebhook_secret = "short"\n')
    await edited.look()
    assert table.find("AC1") == found
    file.unlink()
    await edited.look()
    rest = table.find("AC1")
    assert rest is not None
    assert rest.id == accounts.ANY


async def test_a_server_that_runs_takes_a_new_name(served: Served) -> None:
    """Of a voice and of a model, over HTTP; the table is the one that its sockets read."""
    file = served.data_dir / FILE
    body = {"model": "model-of-an-edit", "voice": "voice-of-an-edit", "input": "Well."}
    headers = {"Authorization": f"Bearer {served.key}"}
    async with (
        httpx.AsyncClient(base_url=served.url, headers=headers, trust_env=False) as http,
        asyncio.timeout(WITHIN_S),
    ):
        assert (await http.post("/v1/audio/speech", json=body)).status_code == 404
        try:
            file.write_text('[models]\nmodel-of-an-edit = "espeak"\n[voices]\nvoice-of-an-edit = "male"\n')
            while (spoken := await http.post("/v1/audio/speech", json=body)).status_code == 404:
                await asyncio.sleep(0.1)
            assert spoken.status_code == 200
            assert "model-of-an-edit" in (await http.get("/v1/models")).text
        finally:
            file.unlink()
        while (await http.post("/v1/audio/speech", json=body)).status_code != 404:
            await asyncio.sleep(0.1)
