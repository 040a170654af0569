"""What is told is signed as Standard Webhooks say, and each receiver has a secret of its own."""

from __future__ import annotations

import base64

from voicewire.server.jobs.signing import SECRET_PREFIX, headers, secret_for, signature

URL = "https://example.org/hook"


def test_the_signature_is_that_of_the_specifications_libraries() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    found = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}')
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_every_part_of_a_message_is_signed() -> None:
    secret = secret_for(b"pepper", "t", URL)
    found = {
        signature(secret, id, timestamp, body) for id in ("a", "b") for timestamp in (1, 2) for body in (b"", b"x")
    }
    assert len(found) == 8
    said = headers(secret, "a", 1, b"x")
    assert (said["webhook-id"], said["webhook-timestamp"]) == ("a", "1")
    assert said["webhook-signature"] == signature(secret, "a", 1, b"x")


def test_a_receiver_has_one_secret_and_nobody_else_has_it() -> None:
    secret = secret_for(b"pepper", "t", URL)
    assert secret == secret_for(b"pepper", "t", URL)
    others = {secret_for(b"other", "t", URL), secret_for(b"pepper", "u", URL), secret_for(b"pepper", "t", URL + "?2")}
    assert len(others | {secret}) == 4
    assert len(base64.b64decode(secret.removeprefix(SECRET_PREFIX))) == 32
