"""The API against what its own description allows, and against what it does not.

schemathesis makes requests from the OpenAPI: valid ones, broken ones, missing and extra parts. No
answer may be a server error, of another shape than described, or of another content type: where
nobody has to sign in, and behind a key that may do all. Without credentials nothing is answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS as REGISTRY
from schemathesis.checks import load_all_checks

from retaild.runtime.access import audit
from retaild.runtime.access.permissions import PERMISSIONS
from tests.rest.door import closed_server, key
from tests.rest.serving import InThread

#: It goes on until the client leaves.
ENDLESS = "/api/v1/stream"
#: Answered to everybody: that it lives, and that one is nobody.
OPEN = ("/health/live", "/api/v1/me")
#: Requests per route and mode: what a change breaks is found by few; the long run looks further.
FEW, MANY = 4, 60
CHECKS = (
    "response_headers_conformance", "response_schema_conformance", "content_type_conformance",
)  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InThread]:
    with InThread(tmp_path_factory.mktemp("shop")) as running:
        yield running


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InThread]:
    """Everybody has to sign in."""
    with closed_server(tmp_path_factory.mktemp("closed")) as running:
        yield running


def checks() -> list[Any]:
    load_all_checks()
    return [REGISTRY.get_one(name) for name in CHECKS]


@pytest.mark.parametrize("requests", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_request_breaks_the_api(server: InThread, mode: GenerationMode, requests: int) -> None:
    _bombard_all(server, mode, requests, {}, _sound)


@pytest.mark.parametrize("requests", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_request_behind_a_key_breaks_the_api(
    closed: InThread, mode: GenerationMode, requests: int
) -> None:
    token = key(closed, *PERMISSIONS)
    _bombard_all(closed, mode, requests, {"Authorization": f"Bearer {token}"}, _sound)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_whatever_a_stranger_asks_is_refused_and_changes_nothing(
    closed: InThread, mode: GenerationMode
) -> None:
    before = audit.entries(closed.context.state)["total"]

    def refused(case: Case, answer: Any) -> None:
        if case.operation.path in OPEN:
            assert answer.status_code < 500, answer.text
            return
        assert answer.status_code == 401, answer.text
        assert answer.json()["type"] == "access.not_signed_in"

    _bombard_all(closed, mode, FEW, {}, refused)
    assert audit.entries(closed.context.state)["total"] == before


Judge = Callable[[Case, Any], None]


def _sound(case: Case, answer: Any) -> None:
    # 503 is an answer: the daemon does not run here.
    assert answer.status_code not in (500, 501, 502), answer.text
    case.validate_response(answer, checks=checks())


def _bombard_all(
    server: InThread, mode: GenerationMode, requests: int, headers: dict[str, str], judge: Judge
) -> None:
    own = {"Authorization": f"Bearer {key(server, *PERMISSIONS)}"}
    described = schemathesis.openapi.from_url(f"{server.url}/api/v1/openapi.json", headers=own)
    broken = []
    operations = [found.ok() for found in described.exclude(path=ENDLESS).get_all_operations()]
    assert len(operations) > 20
    for operation in operations:
        try:
            _bombard(operation, mode, requests, headers, judge)
        except BaseExceptionGroup as error:  # gathered: one run shows all that is broken
            broken.append(f"{operation.label}: {error}")
    assert not broken, "\n\n".join(broken)
    assert server.client.get("/health/ready", headers=own).status_code == 200


def _bombard(
    operation: Any, mode: GenerationMode, requests: int, headers: dict[str, str], judge: Judge
) -> None:
    @settings(
        max_examples=requests, deadline=None, derandomize=True, database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def attempt(case: Case) -> None:
        answer = case.call(timeout=20, headers=headers)
        try:
            judge(case, answer)
        except AssertionError as error:
            raise ExceptionGroup(case.as_curl_command(), [error]) from None

    with suppress(Unsatisfiable):  # a route without parameters cannot be asked wrongly
        attempt()
