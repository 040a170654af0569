"""The signatures of JSON Web Tokens: PyJWT and the cryptography under it, which a start does without."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from jwt import PyJWK, PyJWS
from jwt.exceptions import PyJWTError

Key = PyJWK
"""What a signature is checked against; it knows its one algorithm."""


def read_key(jwk: Mapping[str, Any]) -> Key | None:
    """Return the key in a row of a JSON Web Key Set (RFC 7517), with its one algorithm; None where it is none."""
    try:
        return PyJWK.from_dict(dict(jwk))
    except (PyJWTError, ValueError, TypeError):
        return None


def sign(payload: bytes, key: Key) -> str:
    """Return the token that says `payload`."""
    return PyJWS().encode(payload, key, key.algorithm_name)


def verify(token: str, key: Key, algorithms: Collection[str]) -> bytes | None:
    """Return what `token` says when it was signed with `key`, by one of `algorithms`; else None."""
    verifier = PyJWS(list(algorithms), {"verify_signature": True, "enforce_minimum_key_length": True})
    try:
        payload: bytes = verifier.decode(token, key, list(algorithms))
    except (PyJWTError, ValueError, TypeError):
        return None
    return payload
