"""A double of an OpenID Connect issuer: a real server on this machine that speaks the published protocol.

Discovery, authorization code with PKCE, tokens and keys, as OpenID Connect Core 1.0 and RFC 7636 have them. It logs one
person in without asking. What tests change (who that is, the keys, whether it answers) are plain attributes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

import jwt
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT_ID = "voicewire"
CLIENT_SECRET = "a secret: with % and +"
PERSON = {"sub": "person-1", "email": "ada@example.org", "email_verified": True, "name": "Ada"}
STARTS_S = 10.0


class SigningKey:
    """A private key, its id, and what is published of it."""

    def __init__(self, algorithm: str, kid: str = "") -> None:
        self.algorithm = algorithm
        self.kid = kid or secrets.token_hex(8)
        if algorithm == "RS256":
            self.private: Any = rsa.generate_private_key(65_537, 2_048)
            public = RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        else:
            self.private = ec.generate_private_key(ec.SECP256R1())
            public = ECAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        self.jwk: dict[str, Any] = {**public, "kid": self.kid, "use": "sig", "alg": algorithm}

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        return jwt.encode(claims, self.private, self.algorithm, {"kid": self.kid, **header})


class LocalIssuer:
    """`keys` are published, the last one signs; `asked` counts requests by the end of their path."""

    def __init__(self, url: str, algorithm: str = "RS256") -> None:
        self.url = url
        self._first = SigningKey(algorithm)
        self._encryption = {**SigningKey("RS256").jwk, "use": "enc", "alg": "RSA-OAEP"}
        self.asked: Counter[str] = Counter()
        self.reset()

    def reset(self) -> None:
        """Be as it was at the start."""
        self.keys = [self._first]
        self.person: dict[str, Any] = dict(PERSON)
        self.extra: dict[str, Any] = {}  # claims of ID tokens beside the person's
        self.changed: dict[str, Any] = {}  # of the discovery document
        self.down = False
        self.pkce = True  # whether it looks at the verifier
        self.asked.clear()
        self._codes: dict[str, dict[str, str]] = {}

    def rotate(self, *, keep_old: bool = False) -> SigningKey:
        """Sign with a new key from now on, and publish the old one no more."""
        new = SigningKey(self.keys[-1].algorithm)
        self.keys = [*self.keys, new] if keep_old else [new]
        return new

    def claims(self, **changed: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {**self.person, "iss": self.url, "aud": CLIENT_ID, "iat": now, "exp": now + 300, **changed}
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, **changed: Any) -> str:
        """A good token, but for what is changed; None leaves a claim out."""
        return self.keys[-1].sign(self.claims(**changed))

    def app(self) -> Starlette:
        base = "/realms/test"
        return Starlette(
            routes=[
                Route(f"{base}/.well-known/openid-configuration", self._discovery),
                Route(f"{base}/jwks", self._jwks),
                Route(f"{base}/moved", self._moved),
                Route(f"{base}/authorize", self._authorize),
                Route(f"{base}/token", self._token, methods=["POST"]),
            ]
        )

    async def _discovery(self, request: Request) -> Response:
        if refused := self._count(request):
            return refused
        document = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "HS256"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            **self.changed,
        }
        return JSONResponse(document)

    async def _jwks(self, request: Request) -> Response:
        if refused := self._count(request):
            return refused
        return JSONResponse({"keys": [self._encryption, *(key.jwk for key in self.keys)]})

    async def _moved(self, request: Request) -> Response:
        return self._count(request) or RedirectResponse(f"{self.url}/jwks", 302)

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        assert asked["client_id"] == CLIENT_ID
        assert asked["response_type"] == "code"
        assert "openid" in asked["scope"].split()
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe()
        self._codes[code] = asked
        answer = urlencode({"code": code, "state": asked["state"], "iss": self.url})
        return RedirectResponse(f"{asked['redirect_uri']}?{answer}", 302)

    async def _token(self, request: Request) -> Response:
        if refused := self._count(request):
            return refused
        form = dict(parse_qsl((await request.body()).decode()))
        if not self._is_client(request.headers.get("authorization", "")):
            return JSONResponse({"error": "invalid_client"}, 401)
        asked = self._codes.pop(form.get("code", ""), None)  # good once
        if asked is None or form.get("redirect_uri") != asked["redirect_uri"] or not self._proven(asked, form):
            return JSONResponse({"error": "invalid_grant"}, 400)
        token = self.token(nonce=asked["nonce"], **self.extra)
        return JSONResponse({"access_token": "opaque", "token_type": "Bearer", "expires_in": 300, "id_token": token})

    def _proven(self, asked: dict[str, str], form: dict[str, str]) -> bool:
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        return not self.pkce or challenge == asked["code_challenge"]

    def _is_client(self, authorization: str) -> bool:
        scheme, _, value = authorization.partition(" ")
        name, _, password = base64.b64decode(value).decode().partition(":")
        return scheme == "Basic" and (unquote(name), unquote(password)) == (CLIENT_ID, CLIENT_SECRET)

    def _count(self, request: Request) -> Response | None:
        self.asked[request.url.path.rsplit("/", 1)[1]] += 1
        return Response("the issuer is being replaced", 503) if self.down else None


@contextmanager
def local_issuer(algorithm: str = "RS256") -> Iterator[LocalIssuer]:
    """Run an issuer on a free port, on a loop of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    issuer = LocalIssuer(f"http://127.0.0.1:{listener.getsockname()[1]}/realms/test", algorithm)
    config = uvicorn.Config(
        issuer.app(), lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), name="issuer")
    thread.start()
    try:
        yield issuer
    finally:
        server.should_exit = True
        thread.join(STARTS_S)
        listener.close()


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """A token without a signature's octets."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, claims)]
    return f"{parts[0]}.{parts[1]}.AA"
