"""How an error becomes an HTTP answer: the same body everywhere."""

from __future__ import annotations

import math

from starlette.responses import JSONResponse

from voicewire.errors import VoicewireError


def error_response(error: VoicewireError) -> JSONResponse:
    """Return the JSON body, status and `Retry-After` for `error`."""
    row = error.row
    body: dict[str, object] = {"code": error.row_code, "message": error.message, "retryable": row.retryable}
    headers = {}
    if error.retry_after_ms is not None:
        body["retry_after_ms"] = error.retry_after_ms
        headers["Retry-After"] = str(math.ceil(error.retry_after_ms / 1000))
    if row.status == 401:  # RFC 9110, section 11.6.1
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse({"error": body}, row.status, headers)
