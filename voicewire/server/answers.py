"""How an error becomes an HTTP answer: the same body everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from fastapi.exceptions import RequestValidationError
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match

from voicewire.errors import RETRY_MS, BadRequest, Busy, VoicewireError
from voicewire.server.metrics import Metrics

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

HEADERS: Mapping[int, Mapping[str, str]] = MappingProxyType(
    {
        401: {"WWW-Authenticate": "Bearer"},  # RFC 9110, section 11.6.1
        426: {"Upgrade": "websocket", "Connection": "Upgrade"},  # and 15.5.22
    }
)
"""What an answer with this status has to say."""

NO_OBJECT = frozenset({"model_attributes_type", "missing"})
"""What pydantic calls a body that is a form, a text, nothing, or JSON under another name."""

Refusal = Callable[[HTTPConnection, VoicewireError], Response]
"""Words an error for who asks."""

KEPT = frozenset({"retry-after", "www-authenticate"})


def error_response(error: VoicewireError) -> JSONResponse:
    """Return the JSON body, status and `Retry-After` for `error`."""
    row = error.row
    body: dict[str, object] = {"code": error.row_code, "message": error.message, "retryable": row.retryable}
    headers = dict(HEADERS.get(row.status, {}))
    if error.retry_after_ms is not None:
        body["retry_after_ms"] = error.retry_after_ms
        headers["Retry-After"] = str(math.ceil(error.retry_after_ms / 1000))
    if error.row_code == "range_not_satisfiable":
        headers["Content-Range"] = f"bytes */{error.fields['size']}"  # RFC 9110, section 15.5.17
    return JSONResponse({"error": body}, row.status, headers)


def kept_headers(answer: Response) -> dict[str, str]:
    """What an answer with another body must still say."""
    return {name: value for name, value in answer.headers.items() if name in KEPT}


def answering(metrics: Metrics, size_bytes_max: int, refusal: Refusal) -> Any:
    """Return the handler of all exceptions that endpoints raise; `refusal` words the answers."""

    async def answer(request: Request, error: Exception) -> Response:
        translated = translate(error, size_bytes_max)
        metrics.errors.labels(translated.row_code).inc()
        response = refusal(request, translated)
        if translated.row_code == "method_not_allowed":
            response.headers["Allow"] = ", ".join(_methods(request))
        return response

    return answer


def translate(error: Exception, size_bytes_max: int) -> VoicewireError:
    """Return the error of ours that says what `error` is."""
    match error:
        case VoicewireError():
            return error
        case RequestValidationError():
            first = error.errors()[0]
            if first["type"] in NO_OBJECT and first["loc"] == ("body",):
                return BadRequest(problem="the body must be a JSON object, and its Content-Type application/json")
            place = ".".join(str(part) for part in first["loc"])
            return BadRequest(problem=f"{place}: {first['msg']}")
        case HTTPException():
            return _of_status(error, size_bytes_max)
        case RedisError():
            return Busy(retry_after_ms=RETRY_MS)
    return VoicewireError("internal")


def _of_status(error: HTTPException, size_bytes_max: int) -> VoicewireError:
    match error.status_code:
        case 404:
            return BadRequest("not_found")
        case 405:
            return BadRequest("method_not_allowed")
        case 413:
            return BadRequest("too_large", limit=size_bytes_max)
    return BadRequest(problem=str(error.detail))


def _methods(request: Request) -> Iterator[str]:
    """All that this address takes: several routes may share it, one for a method."""
    routes: list[BaseRoute] = request.app.router.routes
    for method in METHODS:
        scope = {**request.scope, "method": method}
        if any(route.matches(scope)[0] is Match.FULL for route in routes):
            yield method
