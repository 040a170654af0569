import dataclasses
from typing import Any

import pytest

from voicewire.auth.principal import Limits, Principal
from voicewire.errors import Forbidden


def _principal(*scopes: str) -> Principal:
    return Principal("abcdefgh", "home", frozenset(scopes), "key")


def test_require_passes_what_was_given_and_refuses_the_rest() -> None:
    principal = _principal("speak")
    principal.require("speak")
    with pytest.raises(Forbidden, match="metrics:read"):
        principal.require("metrics:read")


def test_admin_alone_may_not_speak() -> None:
    with pytest.raises(Forbidden):
        _principal("admin").require("speak")


def test_require_of_a_scope_that_does_not_exist_is_our_mistake() -> None:
    with pytest.raises(AssertionError):
        _principal("speak").require("sing")


def test_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        _principal("speak").scopes = frozenset({"admin"})  # type: ignore[misc]  # the point of the test


@pytest.mark.parametrize("name", ["streams", "contexts", "text_chars"])
def test_a_limit_of_nothing_is_refused(name: str) -> None:
    nothing: dict[str, Any] = {name: 0}
    with pytest.raises(ValueError, match="at least 1"):
        Limits(**nothing)
