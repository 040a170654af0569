"""`voicewire users`, beside a server that runs: what it changes counts there at once."""

from __future__ import annotations

import io
import re
from pathlib import Path

import httpx
import pytest

from tests.conftest import Served
from voicewire.__main__ import main

PASSWORD = "a riddle of eels"


def users(served: Served, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["users", *arguments, "--data", str(served.data_dir)], {}) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def log_in(served: Served, email: str) -> httpx.Response:
    body = {"email": email, "password": PASSWORD}
    return httpx.post(f"{served.url}/v1/auth/login", json=body, trust_env=False, timeout=30)


def test_an_admin_is_added_and_let_in(
    served: Served, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = users(served, capsys, "add", "Root@Example.org", "--admin", "--name", "Root")
    assert "root@example.org is here" in said
    token = re.search(r"/account/#password=(\S+)", said)
    assert token
    assert f":{served.url.rsplit(':', 1)[1]}/account/" in said
    assert "no server runs" not in said
    reset = {"token": token[1], "password": PASSWORD}
    answer = httpx.post(f"{served.url}/v1/auth/password/reset", json=reset, trust_env=False, timeout=30)
    assert answer.status_code == 204
    login = log_in(served, "root@example.org").json()
    headers = {"Authorization": f"Bearer {login['access_token']}"}
    assert login["user"]["tenant"] == "home"
    assert httpx.get(f"{served.url}/admin/users", headers=headers, trust_env=False, timeout=30).status_code == 200
    monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
    assert "the password is set" in users(served, capsys, "password", "root@example.org", "--stdin")
    assert httpx.get(f"{served.url}/v1/me", headers=headers, trust_env=False, timeout=30).status_code == 401
    users(served, capsys, "role", "root@example.org", "creator")
    users(served, capsys, "suspend", "root@example.org")
    assert log_in(served, "root@example.org").status_code == 401
    assert re.search(r"root@example.org +Root +creator .* suspended", users(served, capsys, "list", "ROOT@"))
    users(served, capsys, "restore", "root@example.org")
    assert log_in(served, "root@example.org").status_code == 200


def test_what_cannot_be_done_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: str) -> str:
        assert main(["users", *arguments, "--data", str(tmp_path)], {}) != 0
        return capsys.readouterr().err

    assert main(["users", "add", "ada@example.org", "--data", str(tmp_path)], {}) == 0
    capsys.readouterr()
    assert "there is somebody" in fails("add", "Ada@example.org")
    assert "not an e-mail address" in fails("add", "ada")
    assert "no such thing" in fails("suspend", "eve@example.org")
    assert "a role is one of" in fails("role", "ada@example.org", "king")
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    assert "10 to 256 characters" in fails("password", "ada@example.org", "--stdin")
