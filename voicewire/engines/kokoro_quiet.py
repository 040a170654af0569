"""Keeps the warnings of the packages around Kokoro from its users, who can do nothing about them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Ignore warnings while those packages are imported and set up; they use much that is deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
