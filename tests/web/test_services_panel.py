"""The services' panel: the pipeline, the servers, and their buttons."""

from __future__ import annotations

import pytest

from tests.web.desk_data import ShopPages
from tests.web.test_pages_rendering import Ask, client


@pytest.fixture
def data() -> ShopPages:
    return ShopPages()


@pytest.fixture
def ask(data: ShopPages) -> Ask:
    return client(data)


def test_what_runs_shows_its_port_memory_and_figures(ask: Ask) -> None:
    page = ask("/admin/services").text
    for text in ("broker 127.0.0.1:9092", "331.0\u00a0MiB", "planned 600 MiB", "17.0"):
        assert text in page


def test_what_is_down_shows_why_and_its_last_lines_as_text(ask: Ask) -> None:
    page = ask("/admin/services").text
    assert "2 of 3 do not run." in page
    assert "Port 6379 is taken" in page
    assert "FATAL &lt;script&gt;" in page
    assert "<script>alert" not in page


def test_missing_software_comes_with_the_command(ask: Ask) -> None:
    assert "retaildctl service install search" in ask("/admin/services").text


def test_parts_lead_to_their_servers_and_processes(ask: Ask) -> None:
    page = ask("/admin/services").text
    assert 'href="#service-kafka"' in page
    assert 'id="service-kafka"' in page
    assert "/admin/logs?file=ingest" in page
    assert 'href="/admin/jobs"' in page


def test_the_log_says_how_far_the_lake_is_behind(ask: Ask) -> None:
    page = ask("/admin/services").text
    assert "1,234 rows are not in the lake yet" in page
    assert "7 dead letters" in page
    assert "all of the log is in the lake" in page


def test_a_target_says_what_was_published_last_and_what_failed(ask: Ask) -> None:
    page = ask("/admin/services").text
    assert "4,372 recommendations, 3,912 products published" in page
    assert "It does not answer &lt;script&gt;" in page
    assert 'href="/admin/jobs/41"' in page
    # Nothing was trained.
    assert "not yet" in page


@pytest.mark.parametrize("action", ["restart", "disable"])
def test_buttons_ask_for_the_instance_and_come_back(ask: Ask, data: ShopPages, action: str) -> None:
    data.instances.standing["kafka"] = "enabled"
    form = {"kind": "service", "name": "kafka", "page": "services"}
    answer = ask(f"/admin/instances/{action}", form)
    assert data.instances.asked == [(action, "service", "kafka", "")]
    assert answer.headers["location"] == f"/admin/services?done=instance-{action}"


def test_pages_of_others_are_never_gone_back_to(ask: Ask, data: ShopPages) -> None:
    data.instances.standing["kafka"] = "enabled"
    form = {"kind": "service", "name": "kafka", "page": "//evil.example"}
    answer = ask("/admin/instances/restart", form)
    assert answer.headers["location"].startswith("/admin/instances?")
