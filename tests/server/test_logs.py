"""What the server logs: readable by machines when asked, and without what stands behind a question mark."""

from __future__ import annotations

import json
import logging

import pytest

from voicewire.server.logs import JsonLines, NoQueries


def record(message: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("uvicorn.error", logging.INFO, __file__, 1, message, args, None)


@pytest.mark.parametrize("path", ["/v1/stream?token=hunter2", "/v1/stream"])
def test_a_query_is_not_logged(path: str) -> None:
    line = record('%s - "WebSocket %s" [accepted]', "127.0.0.1:1", path)
    assert NoQueries().filter(line)
    assert line.getMessage() == '127.0.0.1:1 - "WebSocket /v1/stream" [accepted]'


def test_a_json_line_has_the_traceback() -> None:
    line = record("it %s", "broke")
    try:
        int("why")
    except ValueError as error:
        line.exc_info = (type(error), error, error.__traceback__)
    parsed = json.loads(JsonLines().format(line))
    assert (parsed["level"], parsed["logger"], parsed["message"]) == ("info", "uvicorn.error", "it broke")
    assert "ValueError: invalid literal" in parsed["traceback"]
    assert parsed["time"].endswith("Z")
