"""How the server logs: lines for people or JSON for machines, and never a query string, where secrets end up."""

from __future__ import annotations

import json
import logging
import time

UVICORN = ("uvicorn", "uvicorn.error")


class JsonLines(logging.Formatter):
    """One JSON object for each record: time, level, logger, message, and the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class NoQueries(logging.Filter):
    """Takes query strings out of uvicorn's lines, which print them even with its access log off."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(_without_query(each) for each in record.args)
        return True


def _without_query(value: object) -> object:
    return value.partition("?")[0] if isinstance(value, str) and value.startswith("/") else value


def configure(level: str, style: str) -> None:
    """Log to standard error in `style`, `text` or `json`, from `level` on."""
    handler = logging.StreamHandler()
    plain = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonLines() if style == "json" else plain)
    logging.basicConfig(level=level.upper(), handlers=[handler])
    for name in UVICORN:
        logging.getLogger(name).addFilter(NoQueries())
    logging.getLogger(UVICORN[1]).setLevel(max(logging.WARNING, logging.getLogger().level))
