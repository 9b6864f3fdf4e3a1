"""The pages against addresses that nobody links to."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.rest.serving import InThread

HOSTILE = (
    "99999999999999999999999", "-1", "%00", "%ff%fe", "..%2f..%2fetc%2fpasswd", "%0d%0aX-Evil:1",
    quote("<script>alert(1)</script>"), quote("'; DROP TABLE job_run; --"), quote("${7*7}{{7*7}}"),
    "a" * 3000,
)  # fmt: skip
PLACES = (
    "/recommendations/{}", "/recommendations?q={}&item={}&product={}", "/pricing/{}",
    "/pricing/{}?price={}", "/pricing?q={}&state={}&page={}&category={}", "/admin/{}",
    "/admin/jobs/{}", "/admin/jobs?job={}", "/admin/dead-letters/{}",
    "/admin/dead-letters?page={}&source={}&reason={}", "/admin/logs?file={}&level={}",
    "/admin/alerts?page={}", "/admin/audit?page={}&who={}", "/static/{}", "/?done={}&n={}",
    "/login?next={}",
)  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InThread]:
    with InThread(tmp_path_factory.mktemp("shop"), pages=True) as running:
        yield running


@pytest.mark.parametrize("place", PLACES)
def test_no_address_breaks_a_page(server: InThread, place: str) -> None:
    for hostile in HOSTILE:
        answer = server.client.get(place.format(*[hostile] * place.count("{}")))
        assert answer.status_code < 500 or answer.status_code == 503, (hostile, answer.text[:500])
        assert "x-evil" not in answer.headers
        # As JSON it is only text, which a browser is told not to take for anything else.
        if "json" in answer.headers.get("content-type", ""):
            assert answer.headers["x-content-type-options"] == "nosniff"
        else:
            assert "<script>alert(1)" not in answer.text
        assert "root:x:0" not in answer.text
