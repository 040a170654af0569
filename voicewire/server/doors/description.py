"""What OpenAPI says of every operation: its errors, in the one body that all errors have, and who may call."""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict

from voicewire.errors import TABLE

ANY = ("bad_message", "rate_limited", "busy")
"""What every operation may answer …"""

KNOWN_CALLER = ("unauthorized", "forbidden")
"""… what one for known callers may …"""

OPEN: dict[str, Any] = {"security": []}
"""`openapi_extra` of an operation for everybody."""

NEVER = "422"  # the library's own idea; ours is 400
JSON = "application/json"
REF = "#/components/schemas/{model}"
ERROR = "#/components/schemas/ErrorBody"
SCHEMES = {
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "an API key"},
    "bearer": {"type": "http", "scheme": "bearer", "description": "an API key, or a person's access token"},
}


class ErrorInfo(BaseModel):
    """What went wrong. `code` is for programs, `message` for people."""

    model_config = ConfigDict(extra="forbid")

    code: str
    message: str
    retryable: bool
    retry_after_ms: int | None = None


class ErrorBody(BaseModel):
    """The body of every error."""

    model_config = ConfigDict(extra="forbid")

    error: ErrorInfo


def declared(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that may fail with `codes`, beside what every route may."""
    answers: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        row = TABLE[code]
        answer = answers.setdefault(row.status, {"description": "", "content": {JSON: {"schema": {"$ref": ERROR}}}})
        answer["description"] = "; ".join(filter(None, (answer["description"], _plain(row.message))))
        answer["content"][JSON].setdefault("examples", {})[code] = {"value": _example(code)}
    return answers


def describe(app: FastAPI) -> None:
    """Have the description of `app` say how each operation can fail, and what a caller has to show."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(made())
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the way that the library's documentation names


def _complete(schema: dict[str, Any]) -> None:
    components = schema.setdefault("components", {})
    components["securitySchemes"] = SCHEMES
    schemas = components.setdefault("schemas", {})
    schemas["ErrorBody"] = ErrorBody.model_json_schema(ref_template=REF)
    schemas |= schemas["ErrorBody"].pop("$defs")
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schema["security"] = [{name: []} for name in SCHEMES]
    for operation in _operations(schema):
        _add_errors(operation)


def _operations(schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    return (operation for path in schema["paths"].values() for operation in path.values())


def _add_errors(operation: dict[str, Any]) -> None:
    codes = [*ANY, *(() if operation.get("security") == [] else KNOWN_CALLER)]
    if any(parameter["in"] == "path" for parameter in operation.get("parameters", ())):
        codes.append("not_found")
    if "requestBody" in operation:
        codes.append("too_large")
    answers = operation["responses"]
    answers.pop(NEVER, None)
    for status, answer in declared(*codes).items():
        there = answers.setdefault(str(status), answer).get("content", {}).get(JSON, {}).get("examples", {})
        there |= {name: example for name, example in answer["content"][JSON]["examples"].items() if name not in there}


def _plain(message: str) -> str:
    return message.format_map({name: "…" for _, name, _, _ in string.Formatter().parse(message) if name})


def _example(code: str) -> dict[str, Any]:
    row = TABLE[code]
    return {"error": {"code": code, "message": _plain(row.message), "retryable": row.retryable}}
