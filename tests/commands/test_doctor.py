"""The doctor, on real parts: what it finds, what it calls wrong, and that it leaves everything as it was."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink

from tests.conftest import Served
from voicewire.commands.doctor import doctor
from voicewire.commands.problems import Exit
from voicewire.commands.target import server_config
from voicewire.storage.store import Store


async def report(folder: Path, **environ: object) -> tuple[Exit, str]:
    """The exit status and the report, with `environ` as settings by their short names."""
    given = {"VOICEWIRE_PORT": "0"} | {f"VOICEWIRE_{name.upper()}": str(value) for name, value in environ.items()}
    out = io.StringIO()
    status = await doctor(lambda: server_config(given, data_dir=folder), out)
    return status, out.getvalue()


def lines(said: str, part: str) -> list[str]:
    """What is said of a part: the verdict and the finding."""
    rows = [line.split(None, 2) for line in said.splitlines()]
    return [f"{row[0]} {row[2]}" for row in rows if len(row) == 3 and row[1] == part]


async def test_a_fresh_machine_is_well_and_stays_untouched(tmp_path: Path) -> None:
    status, said = await report(tmp_path / "data")
    assert status == Exit.OK
    assert said.endswith("\nall is well\n")
    assert lines(said, "redis")[0].startswith("ok embedded 6.")
    assert lines(said, "postgres")[0].startswith("ok embedded 18.")
    assert "voices" in lines(said, "espeak")[0]
    assert ".mp3" in lines(said, "codecs")[0]
    assert list(tmp_path.iterdir()) == []


async def test_a_running_server_is_seen_and_asked(served: Served) -> None:
    port = int(served.url.rsplit(":", 1)[1])
    status, said = await report(served.data_dir, port=port)
    assert status == Exit.OK, said
    assert "in use by the server, process" in said
    assert "taken, as it should be" in said
    assert lines(said, "redis")[0].endswith("appendonly on")
    assert "embedded, version 18." in lines(said, "postgres")[0]


async def test_secrets_are_not_shown(tmp_path: Path) -> None:
    _, said = await report(
        tmp_path,
        bootstrap_key="hunter2hunter2",
        jwt_secret="hunter2" * 8,
        redis_url="redis://:hunter2@127.0.0.1:1",
        postgres_url="postgresql://someone:hunter2@127.0.0.1:1/voicewire?password=hunter2",
        smtp_url="smtp://someone:hunter2@127.0.0.1:1",
    )
    assert "hunter2" not in said
    assert "VOICEWIRE_BOOTSTRAP_KEY=(set)" in said
    assert "VOICEWIRE_SMTP_URL=smtp://someone:***@127.0.0.1:1" in said


async def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    status, said = await report(
        tmp_path,
        redis_url="redis://127.0.0.1:1",
        postgres_url="postgresql://a:b@127.0.0.1:1/c",
        smtp_url="smtp://127.0.0.1:1",
        oidc_issuers="http://127.0.0.1:1",
        oidc_client_id="voicewire",
        default_model="tone",
    )
    assert status == Exit.FAILED
    for part in ("redis", "postgres", "mail", "issuer", "engines"):
        assert lines(said, part)[0].startswith("WRONG "), said
    assert said.endswith("5 things are wrong\n")


async def test_wrong_settings_are_each_named(tmp_path: Path) -> None:
    status, said = await report(tmp_path, prot=1, idle_s=0)
    assert status == Exit.FAILED
    assert "VOICEWIRE_PROT is not a setting; did you mean VOICEWIRE_PORT?" in said


async def test_what_the_server_would_refuse_is_wrong_here_too(tmp_path: Path) -> None:
    _, said = await report(tmp_path, jwt_secret="short")
    assert "VOICEWIRE_JWT_SECRET needs at least 32 bytes" in said
    _, said = await report(tmp_path, oidc_issuers="http://127.0.0.1:1")
    assert "needs a client id" in lines(said, "issuer")[0]
    status, said = await report(tmp_path, admin_port=1, admin_host="192.0.2.1")
    assert status == Exit.FAILED
    assert "192.0.2.1:1 cannot be had" in said


async def test_a_port_that_another_program_has_is_wrong(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, said = await report(tmp_path, port=port)
    assert status == Exit.FAILED
    assert f"127.0.0.1:{port} cannot be had: Address already in use" in said


@pytest.mark.parametrize(("file", "said"), [("aliases.toml", "`$.voices"), ("calls.toml", "`str`")])
async def test_tables_of_an_operator_are_read(tmp_path: Path, file: str, said: str) -> None:
    section = "[voices]" if file == "aliases.toml" else "[[account]]"
    (tmp_path / file).write_text(f"{section}\nid = 7\n")
    status, found = await report(tmp_path)
    assert status == Exit.FAILED
    [line] = lines(found, file)
    assert line.startswith(f"WRONG {file}: ")
    assert said in line
    (tmp_path / file).write_text(f"{section}\nid = '7'\n")
    assert lines((await report(tmp_path))[1], file) == ["ok is understood"]


async def test_a_folder_that_is_a_file_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    status, said = await report(tmp_path / "data")
    assert status == Exit.FAILED
    assert f"{tmp_path}/data cannot be written" in said


async def test_a_database_of_a_newer_voicewire_and_one_of_an_older_are_told_apart(
    tmp_path: Path, postgres_url: str
) -> None:
    store = await Store(postgres_url).open()
    await store.execute("DELETE FROM migrations WHERE number > 1")
    assert "the next start makes it" in (await report(tmp_path, postgres_url=postgres_url))[1]
    await store.execute("INSERT INTO migrations (number, name, sha256) VALUES (9999, '9999_later', '')")
    status, said = await report(tmp_path, postgres_url=postgres_url)
    await store.close()
    assert status == Exit.FAILED
    assert "made by a newer voicewire" in said


async def test_a_given_redis_that_keeps_nothing_is_noted(tmp_path: Path, redis_url: str) -> None:
    _, said = await report(tmp_path, redis_url=redis_url)
    assert lines(said, "redis")[0].startswith("note ")
    assert "appendonly off" in said


@pytest.mark.parametrize(
    ("held", "problem"),
    [
        ([], "holds no weights"),
        (["kokoro-v1_0.pth"], "kokoro-v1_0.pth, 0 voices"),
    ],
)
async def test_weights_of_kokoro_are_looked_for(
    tmp_path: Path, held: list[str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voicewire.commands.checks.version", lambda _: "1.0")  # whether or not it is installed
    for name in held:
        (tmp_path / name).touch()
    _, said = await report(tmp_path / "data", engines="kokoro", default_model="kokoro", kokoro_path=tmp_path)
    assert problem in lines(said, "kokoro")[0]


async def test_a_mail_server_that_answers_is_well(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(Sink(), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        _, said = await report(tmp_path, smtp_url=f"smtp://127.0.0.1:{port}")
    finally:
        controller.stop()
    assert lines(said, "mail") == [f"ok smtp://127.0.0.1:{port} answers: without TLS"]


class _Issuer(BaseHTTPRequestHandler):
    says = "{}"

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.says.encode())

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def issuer(called: str = "") -> Iterator[str]:
    """An issuer that describes itself as `called`, or as what it is."""
    with HTTPServer(("127.0.0.1", 0), type("Issuer", (_Issuer,), {})) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        server.RequestHandlerClass.says = f'{{"issuer": "{called or address}"}}'  # type: ignore[attr-defined]  # it is ours
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield address
        server.shutdown()
        thread.join()


async def test_issuers_are_asked_for_their_names(tmp_path: Path) -> None:
    with issuer() as right, issuer("https://elsewhere.example") as other:
        status, said = await report(tmp_path, oidc_issuers=f"{right},{other}", oidc_client_id="voicewire")
    assert lines(said, "issuer") == [f"ok {right} answers", f"WRONG {other} calls itself https://elsewhere.example"]
    assert status == Exit.FAILED
