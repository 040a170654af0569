"""`voicewire keys` and `voicewire usage` on a database that is given, beside nobody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from voicewire.__main__ import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, postgres_url: str, redis_url: str, capsys: pytest.CaptureFixture[str]) -> Run:
    environ = {"VOICEWIRE_POSTGRES_URL": postgres_url, "VOICEWIRE_REDIS_URL": redis_url}

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main([*arguments, "--data", str(tmp_path)], environ)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def test_keys_are_made_rotated_listed_and_revoked(run: Run) -> None:
    status, out, _ = run("keys", "create", "--label", "first", "--tenant", "acme", "--new-tenant")
    assert status == 0
    id = out.split("_")[2]
    status, out, _ = run("keys", "rotate", id, "--overlap", "60")
    assert status == 0
    successor = out.split("_")[2]
    _, out, _ = run("keys", "list", "--tenant", "acme")
    head, old, new = out.splitlines()
    assert head.split()[0] == "id"
    assert old.startswith(id)
    assert " until " in old
    assert new.startswith(successor)
    assert new.rstrip().endswith("in force")
    assert run("keys", "list", "--tenant", "home")[1].splitlines()[1:] == []
    assert run("keys", "revoke", successor)[1] == f"{successor} is revoked\n"
    status, _, err = run("keys", "revoke", successor)
    assert (status, err) == (
        2,
        f"voicewire: there is no key '{successor}' in force; `voicewire keys list` shows them\n",
    )


def test_a_key_is_not_hashed_with_what_no_server_knows(
    run: Run, tmp_path: Path, postgres_url: str, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    id = run("keys", "create")[1].split("_")[2]
    environ = {"VOICEWIRE_POSTGRES_URL": postgres_url, "VOICEWIRE_REDIS_URL": redis_url}
    elsewhere = ["--data", str(tmp_path / "elsewhere")]
    for making in (["keys", "create"], ["keys", "rotate", id]):
        assert main([*making, *elsewhere], environ) == 2
        assert "set VOICEWIRE_KEY_PEPPER as the server has it" in capsys.readouterr().err
    assert main(["keys", "list", *elsewhere], environ) == 0
    assert not (tmp_path / "elsewhere" / "pepper").exists()
    given = environ | {"VOICEWIRE_KEY_PEPPER": "0123456789abcdef0123456789abcdef"}
    assert main(["keys", "create", *elsewhere], given) == 0


def test_a_tenant_is_not_made_by_mistake(run: Run) -> None:
    status, out, err = run("keys", "create", "--tenant", "acmee")
    assert (status, out) == (2, "")
    assert "--new-tenant" in err


def test_usage_is_a_table_or_csv(run: Run) -> None:
    status, out, _ = run("usage", "--by", "day")
    assert status == 0
    assert [line.split() for line in out.splitlines()] == [
        ["day", "label", "requests", "seconds", "charged", "cached"],
        ["total", "0", "0.000", "0.000", "0.000"],
    ]
    assert run("usage", "--csv")[1].splitlines() == ["tenant,label,requests,audio_ms,charged_ms,cached_ms"]
    status, _, err = run("usage", "--from", "2026-02-01", "--to", "2026-01-01")
    assert status != 0
    assert "from is later than to" in err
