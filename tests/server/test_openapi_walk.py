"""Whatever is sent to any operation of the API, good or bad: no 500, and no answer that its description lacks."""

from __future__ import annotations

import gc
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.conftest import Served, started

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 3  # of each operation in a turn; turns go on until the budget is spent
MODES = (GenerationMode.NEGATIVE, GenerationMode.POSITIVE)  # what is wrong finds more
SEED_VARIABLE = "OPENAPI_WALK_SEED"


@pytest.fixture(scope="module")
def own() -> Iterator[Served]:
    """A server of its own: what an operator may do is done to it."""
    with started({"VOICEWIRE_LOG_LEVEL": "error"}) as served:
        yield served


@contextmanager
def _collected_apart() -> Iterator[None]:
    """Collect garbage before, not within: hypothesis parses sources, and a finalizer whose traceback is parsed, too,
    ends that with a SystemError (https://github.com/python/cpython/issues/106905)."""
    gc.collect(1)
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _walk(
    operation: schemathesis.APIOperation[Any, Any, Any, Any], mode: GenerationMode, served: Served, seed: int
) -> int:
    """Call one operation a few times; return how often it answered. Raises what schemathesis finds."""
    headers = {"X-API-Key": served.key, "X-Forwarded-For": "192.0.2.1"}
    answered = 0

    @hypothesis.seed(seed)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def call(case: schemathesis.Case[Any]) -> None:
        nonlocal answered
        case.call_and_validate(base_url=served.url, headers=headers, checks=CHECKS, timeout=30)
        answered += 1

    call()
    return answered


@pytest.mark.timeout(300)
@pytest.mark.parametrize("budget_s", [6.0, pytest.param(120.0, marks=pytest.mark.nightly)])
def test_every_operation_answers_as_it_says(own: Served, budget_s: float) -> None:
    seed = int(os.environ.get(SEED_VARIABLE) or random.randrange(2**32))
    description = httpx.get(f"{own.url}/openapi.json", timeout=10).json()
    schema = schemathesis.openapi.from_dict(description)
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) > 30
    found: dict[str, str] = {}
    answered = turns = 0
    until = time.monotonic() + budget_s
    while turns == 0 or time.monotonic() < until:
        mode = MODES[turns % len(MODES)]
        for operation in operations:
            if turns and time.monotonic() > until:
                break
            try:
                with _collected_apart():
                    answered += _walk(operation, mode, own, seed + turns)
            except (FailureGroup, Failure) as failure:
                found.setdefault(operation.label, f"{mode}: {_said(failure)}")
            except hypothesis.errors.Unsatisfiable:
                pass  # nothing wrong can be sent to an operation without parameters
        turns += 1
        random.Random(seed + turns).shuffle(operations)  # the last turn may be cut short
    print(f"{answered} answers of {len(operations)} operations in {turns} turns; {SEED_VARIABLE}={seed}")
    assert not found, f"{SEED_VARIABLE}={seed}\n" + "\n".join(f"{label}: {said}" for label, said in found.items())
    assert answered > 100


def _said(failure: BaseException) -> str:
    each = failure.exceptions if isinstance(failure, FailureGroup) else (failure,)
    return "; ".join(f"{type(one).__name__} {one}" for one in each)[:2_000]


@pytest.mark.timeout(60)
def test_an_answer_that_is_not_described_is_found(own: Served) -> None:
    description = httpx.get(f"{own.url}/openapi.json", timeout=10).json()
    del description["paths"]["/v1/keys/{key_id}"]["get"]["responses"]["404"]
    operation = schemathesis.openapi.from_dict(description)["/v1/keys/{key_id}"]["GET"]
    with pytest.raises((FailureGroup, Failure), match="404"), _collected_apart():
        _walk(operation, GenerationMode.POSITIVE, own, 1)
