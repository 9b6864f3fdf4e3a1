"""The API against what its own description allows, and against what it does not.

schemathesis makes requests from the OpenAPI: valid ones, broken ones, missing and extra parts. No
answer may be a server error, of another shape than described, or of another content type.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS as REGISTRY
from schemathesis.checks import load_all_checks

from tests.rest.serving import InThread

#: It goes on until the client leaves.
ENDLESS = "/api/v1/stream"
#: Requests per route and mode: what a change breaks is found by few; the long run looks further.
FEW, MANY = 4, 60
CHECKS = (
    "response_headers_conformance", "response_schema_conformance", "content_type_conformance",
)  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InThread]:
    with InThread(tmp_path_factory.mktemp("shop")) as running:
        yield running


def checks() -> list[Any]:
    load_all_checks()
    return [REGISTRY.get_one(name) for name in CHECKS]


@pytest.mark.parametrize("requests", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_request_breaks_the_api(server: InThread, mode: GenerationMode, requests: int) -> None:
    described = schemathesis.openapi.from_url(f"{server.url}/api/v1/openapi.json")
    broken = []
    operations = [found.ok() for found in described.exclude(path=ENDLESS).get_all_operations()]
    assert len(operations) > 20
    for operation in operations:
        try:
            _bombard(operation, mode, requests)
        except BaseExceptionGroup as error:  # gathered: one run shows all that is broken
            broken.append(f"{operation.label}: {error}")
    assert not broken, "\n\n".join(broken)
    assert server.client.get("/health/ready").status_code == 200


def _bombard(operation: Any, mode: GenerationMode, requests: int) -> None:
    @settings(
        max_examples=requests, deadline=None, derandomize=True, database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def attempt(case: Case) -> None:
        answer = case.call(timeout=20)
        # 503 is an answer: the daemon does not run here.
        if answer.status_code in (500, 501, 502):
            raise ExceptionGroup(case.as_curl_command(), [AssertionError(answer.text)])
        case.validate_response(answer, checks=checks())

    with suppress(Unsatisfiable):  # a route without parameters cannot be asked wrongly
        attempt()
