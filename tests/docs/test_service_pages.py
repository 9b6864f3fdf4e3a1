"""Each managed service has an operator's page that answers the same six questions."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from retaild.host.registry import PluginRegistry

ROOT = Path(__file__).parents[2]
SECTIONS = (
    "What it gives",
    "What it costs",
    "When you need it",
    "Settings",
    "One you have already",
    "How it is upgraded",
)
#: The least that says anything, in letters.
LEAST = 40
_HEADING = re.compile(r"^## (.+)\n", re.MULTILINE)


def page_of(service: str) -> Path:
    """The README beside its plugin."""
    config = PluginRegistry.load().specs("service")[service].config
    module = importlib.import_module(config.__module__)
    assert module.__file__ is not None
    return Path(module.__file__).with_name("README.md")


def sections(text: str) -> dict[str, str]:
    """Heading -> what is said below it, in the order of the page."""
    _, *found = _HEADING.split(text)
    return {name: said.strip() for name, said in zip(found[::2], found[1::2], strict=True)}


def lacking(text: str) -> list[str]:
    """Sections that the page has not, or that say nothing."""
    found = sections(text)
    return [name for name in SECTIONS if len(found.get(name, "")) < LEAST]


SERVICES = sorted(PluginRegistry.load().specs("service"))


def test_all_eight_are_looked_at() -> None:
    assert SERVICES == [
        "elasticsearch", "flink", "flume", "hive", "kafka", "nifi", "redis", "spark",
    ]  # fmt: skip


@pytest.mark.parametrize("service", SERVICES)
def test_its_page_answers_the_six_questions_in_their_order(service: str) -> None:
    text = page_of(service).read_text("utf-8")
    assert lacking(text) == []
    assert tuple(sections(text))[: len(SECTIONS)] == SECTIONS


@pytest.mark.parametrize("service", SERVICES)
def test_its_costs_are_figures_and_its_settings_the_sample(service: str) -> None:
    page = page_of(service)
    found = sections(page.read_text("utf-8"))
    assert re.search(r"\d [MG]i?B", found["What it costs"])
    assert "memory" in found["What it costs"]
    assert "disk" in found["What it costs"]
    sample = page.with_name("sample.toml").read_text("utf-8")
    assert f"```toml\n{sample}```" in found["Settings"]


@pytest.mark.parametrize("service", SERVICES)
def test_its_links_lead_somewhere(service: str) -> None:
    page = page_of(service)
    links = re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", page.read_text("utf-8"))
    assert links
    for path, anchor in links:
        if "://" in path:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), f"{page} links to {path}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE)
            assert anchor in {_anchor(heading) for heading in headings}


def _anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("service", SERVICES)
def test_the_operators_guide_leads_there(service: str) -> None:
    guide = ROOT / "docs" / "operators-guide.md"
    relative = page_of(service).resolve().relative_to(ROOT)
    assert f"(../{relative})" in guide.read_text("utf-8")


@pytest.mark.parametrize("section", SECTIONS)
def test_a_page_without_a_section_is_found(section: str) -> None:
    whole = page_of("kafka").read_text("utf-8")
    assert lacking(whole.replace(f"## {section}\n", "")) == [section]
    said = sections(whole)[section]
    assert lacking(whole.replace(said, "To be written.")) == [section]
