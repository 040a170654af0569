"""What the server logs: readable by machines when asked, and nothing that anybody said or that is a secret."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from contextvars import copy_context

import pytest

from voicewire.errors import BadRequest
from voicewire.server import logs
from voicewire.server.requests import route_of

KEY = "vw_live_abcdefgh_" + "k" * 43
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1XzEifQ.c2lnbmF0dXJl"
SAID = "a secret that somebody said"


def line(style: str, message: str, *args: object, name: str = "voicewire.x", **extra: object) -> str:
    record = logging.LogRecord(name, logging.INFO, __file__, 1, message, args, extra.pop("exc_info", None))  # type: ignore[arg-type]  # as logging takes it
    record.__dict__.update(extra)
    return logs.formatter(style).format(record)


def raised(raise_it: Callable[[], object]) -> object:
    try:
        raise_it()
    except Exception:  # noqa: BLE001 - whatever it is, it is what the test is about
        return sys.exc_info()
    raise AssertionError


def parsed(*args: object, **extra: object) -> dict[str, object]:
    found: dict[str, object] = json.loads(line("json", *args, **extra))  # type: ignore[arg-type]  # passed on
    return found


def test_a_line_says_when_how_grave_who_and_what() -> None:
    said = parsed("%d streams", 3, status=200, ms=1.5)
    assert str(said.pop("time")).endswith("Z")
    assert said == {"level": "info", "logger": "voicewire.x", "event": "3 streams", "status": 200, "ms": 1.5}
    assert line("text", "%d streams", 3, status=200).endswith(" INFO voicewire.x: 3 streams status=200")


def test_only_fields_of_the_table_are_logged() -> None:
    assert SAID not in line("json", "spoken", text=SAID, body=SAID, voice=SAID)
    assert SAID not in line("text", "spoken", text=SAID, body=SAID, voice=SAID)


def test_what_is_bound_stands_in_every_line_of_the_request_and_in_no_other() -> None:
    def request() -> dict[str, object]:
        logs.start("r_1")
        logs.bind(tenant="t_1")
        return parsed("here")

    def next_on_the_same_connection() -> dict[str, object]:
        logs.start("r_2")
        return parsed("here")

    context = copy_context()
    said = context.run(request)
    assert (said["request"], said["tenant"]) == ("r_1", "t_1")
    said = context.run(next_on_the_same_connection)
    assert said["request"] == "r_2"
    assert "tenant" not in said
    assert "request" not in parsed("here")


@pytest.mark.parametrize("style", ["text", "json"])
def test_an_exception_is_named_and_placed_without_what_it_was_given(style: str) -> None:
    def fail() -> None:
        try:
            int(SAID)
        except ValueError as error:
            raise KeyError(SAID) from error

    said = line(style, "it broke", exc_info=raised(fail))
    assert SAID not in said
    for part in ("KeyError", "ValueError", "test_logs.py", "int(SAID)", "in fail"):
        assert part in said


def test_a_group_of_exceptions_is_told_apart() -> None:
    def fail() -> None:
        raise ExceptionGroup(SAID, [ValueError(SAID), OSError(2, "gone")])

    said = line("text", "it broke", exc_info=raised(fail))
    assert SAID not in said
    assert "ValueError" in said
    assert "FileNotFoundError: [Errno 2] gone" in said


def test_our_errors_are_named_by_their_code() -> None:
    def fail() -> None:
        raise BadRequest("unknown_voice", voice=SAID)

    said = line("text", "it broke", exc_info=raised(fail))
    assert "BadRequest: unknown_voice" in said
    assert SAID not in said


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize(
    "shown",
    [
        "Sec-WebSocket-Protocol: token, hunter2",
        "Sec-WebSocket-Protocol: bearer,hunter2",
        "realtime, openai-insecure-api-key.hunter2, beta",
        '{"text":" ","xi_api_key":"hunter2"}',
        "{'text': ' ', 'xi-api-key': 'hunter2'}",
        '{"authorization": "Bearer hunter2"}',
        "/tts/websocket?access_token=hunter2&cartesia_version=1",
        "/v1/speak?api_key=hunter2",
        "Authorization: Bearer hunter2",
    ],
)
def test_where_clients_of_vendors_put_a_key_it_is_taken_out(style: str, shown: str) -> None:
    """Whatever the key looks like: operators choose the first one themselves."""
    said = line(style, "%s", shown)
    assert "hunter2" not in said
    if style == "json":
        assert json.loads(said)["event"], "it is still JSON"


@pytest.mark.parametrize("secret", [KEY, TOKEN, "Bearer hunter2", "redis://user:hunter2@host/0", "Basic aHVudGVyMg=="])
@pytest.mark.parametrize("style", ["text", "json"])
def test_what_looks_like_a_secret_is_taken_out(style: str, secret: str) -> None:
    said = line(style, "it came with %s today", secret)
    assert said.rstrip('"}').endswith("today")
    for part in ("k" * 20, "eyJ", "hunter2", "aHVu"):
        assert part not in said


def test_a_key_is_still_known_by_its_id() -> None:
    assert "vw_live_abcdefgh_…" in line("text", "key %s", KEY)


def test_libraries_print_no_query_and_no_second_line() -> None:
    said = parsed('%s - "WebSocket %s" [accepted]', "1.2.3.4:5", "/v1/stream?token=hunter2", name="uvicorn.error")
    assert said["event"] == '1.2.3.4:5 - "WebSocket /v1/stream" [accepted]'
    said = parsed(f"Task exception was never retrieved\nfuture: <Task exception={SAID!r}>", name="asyncio")
    assert said["event"] == "Task exception was never retrieved"


def test_nobody_can_write_a_line_of_his_own() -> None:
    assert "\n" not in line("text", "hello %s", "x\n2026-01-01 INFO voicewire: forged")


@pytest.mark.parametrize("level", ["debug", "info", "error"])
def test_libraries_are_heard_from_warnings_on(level: str) -> None:
    names = ("", logs.OURS, logs.UVICORN)
    before = {name: logging.getLogger(name).level for name in names}
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []
    try:
        logs.configure(level, "text")
        assert logging.getLogger("voicewire.server").isEnabledFor(logging.DEBUG) == (level == "debug")
        for library in ("httpx", "websockets.server", "uvicorn.error", "asyncpg"):
            assert not logging.getLogger(library).isEnabledFor(logging.INFO)
            assert logging.getLogger(library).isEnabledFor(logging.ERROR)
    finally:
        root.handlers = handlers
        for name in names:
            logging.getLogger(name).setLevel(before[name])


def test_an_address_that_nobody_made_has_no_template() -> None:
    assert route_of({"path": f"/{SAID}"}) == "-"
    assert route_of({"path": f"/v1/{SAID}"}) == "/v1"
    assert route_of({"path": "/admin"}) == "/admin"
    assert route_of({"path": f"/v1{SAID}"}) == "-"
    assert route_of({"path": f"/reader/{SAID}", "root_path": "/reader", "endpoint": print}) == "/reader"
