"""A file as an HTTP answer: whole, a part of it, or nothing because who asks has it already. RFC 9110, 13 and 14."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from fastapi import Request
from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse

from voicewire.errors import BadRequest

RANGE = re.compile(r"(?i:bytes)=(\d{0,4000})-(\d{0,4000})", re.ASCII)
READ_BYTES = 256 * 1024


class Span(NamedTuple):
    """Bytes `[start, stop)`."""

    start: int
    stop: int


def span_of(header: str, size: int) -> Span | None:
    """Return the one range that a `Range` header asks for; None for what is not that, and may be ignored.

    Raises `BadRequest("range_not_satisfiable")`.
    """
    match = RANGE.fullmatch(header.strip())
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        span = Span(max(0, size - int(last)), size)
    elif last and int(last) < int(first):
        return None
    else:
        span = Span(int(first), min(size, int(last) + 1) if last else size)
    if span.start >= span.stop:
        raise BadRequest("range_not_satisfiable", size=size)
    return span


async def file_answer(request: Request, path: Path, media_type: str, sha256: str) -> Response:
    """Answer with a file that never changes. Raises `BadRequest`: "not_found", or "range_not_satisfiable"."""
    try:
        file = await asyncio.to_thread(path.open, "rb")
    except FileNotFoundError:
        raise BadRequest("not_found") from None
    try:
        size = await asyncio.to_thread(_size, file)
        return _answer(request.headers, file, size, media_type, f'"{sha256}"')
    except BaseException:
        file.close()
        raise


def bytes_answer(request: Request, data: bytes, media_type: str, sha256: str) -> Response:
    """Answer as `file_answer` with what is in memory."""
    return _answer(request.headers, io.BytesIO(data), len(data), media_type, f'"{sha256}"')


def _answer(asked: Headers, file: BinaryIO, size: int, media_type: str, etag: str) -> Response:
    headers = {"ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
    if _names(",".join(asked.getlist("if-none-match")), etag):
        file.close()
        return Response(status_code=304, headers=headers)
    span = None
    if asked.get("if-range", etag) == etag:
        span = span_of(",".join(asked.getlist("range")), size)  # two lines are one list, RFC 9110, section 5.3
    status, whole = (200, Span(0, size)) if span is None else (206, span)
    if span is not None:
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{size}"
    headers["Content-Length"] = str(whole.stop - whole.start)
    return StreamingResponse(_read(file, whole), status, headers, media_type)


def _names(header: str, etag: str) -> bool:
    return any(each.strip().removeprefix("W/") in {etag, "*"} for each in header.split(","))


def _size(file: BinaryIO) -> int:
    return file.seek(0, 2)


async def _read(file: BinaryIO, span: Span) -> AsyncIterator[bytes]:
    try:
        await asyncio.to_thread(file.seek, span.start)
        left = span.stop - span.start
        while left:
            data = await asyncio.to_thread(file.read, min(left, READ_BYTES))
            if not data:
                raise ConnectionError("the file ended early")
            left -= len(data)
            yield data
    finally:
        file.close()


def described(media_types: Mapping[str, Any], *, description: str) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that answers so."""
    return {
        200: {"description": description, "content": dict(media_types)},
        206: {"description": "the part that `Range` asked for", "content": dict(media_types)},
        304: {"description": "who asks has it already, as `If-None-Match` said"},
    }
