"""Jinja: created once, templates compiled at start, autoescape on."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Undefined
from markupsafe import Markup, escape

from retaild.runtime.access.audit import readable
from retaild.web import formatting, placeholders
from retaild.web.assets import Assets
from retaild.web.charts import small
from retaild.web.formatting import Formats
from retaild.web.views import Shop

#: Methods of Formats that templates use as filters.
_FORMATS = (
    "number", "figure", "signed", "units", "signed_units", "quantity", "money", "signed_money",
    "percent", "signed_percent", "compact", "size", "date", "time", "clock",
)  # fmt: skip
TEMPLATES = Path(__file__).parent / "templates"


def environment(shop: Shop, assets: Assets, *, strict: bool = False) -> Environment:
    """`strict` makes a name that a template misses an error: for tests."""
    env = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined if strict else Undefined,
    )
    formats = Formats(shop.currency, ZoneInfo(shop.timezone))
    env.globals.update(
        tint_of=lambda p: placeholders.tint(p.get("category"), p.get("name") or ""),
        shop=shop,
        asset=assets.url,
        whisker=small.whisker,
        spark=small.spark,
        whisker_width=small.WHISKER_WIDTH,
    )
    for name in _FORMATS:
        env.filters[name] = getattr(formats, name)
    env.filters.update(
        utc=formatting.utc,
        ago=formatting.ago,
        duration=formatting.duration,
        product_name=formatting.product_name,
        icon=placeholders.icon,
        path=path_segment,
        query=query,
        words=words,
        schedule=schedule,
        pretty_json=pretty_json,
        commands=commands,
        readable=readable,
    )
    env.tests["assumed"] = assumed
    for name in env.list_templates(extensions=["html"]):
        env.get_template(name)
    return env


def assumed(source: object) -> bool:
    """Whether a figure came through a source named for what it is: `assumption`, `assumed_...`."""
    return isinstance(source, str) and source.startswith("assum")


def path_segment(text: object) -> str:
    """An id as one piece of a path."""
    return quote(str(text), safe="")


def query(values: dict[str, object]) -> str:
    """`?a=1&b=2` of what is not empty; a list gives its key once per item."""
    kept = [
        (key, item)
        for key, value in values.items()
        for item in (value if isinstance(value, list | tuple) else [value])
        if item not in (None, "")
    ]
    return "?" + urlencode(kept) if kept else ""


def words(key: str) -> str:
    """`margin_floor` -> `margin floor`."""
    return key.replace("_", " ").replace("-", " ").replace(".", " ")


def schedule(text: str) -> str:
    """`every 1800 s` -> `every 30 min`; everything else as it is."""
    found = re.fullmatch(r"every (\d+) s", text)
    if not found:
        return text or "by hand"
    seconds = int(found[1])
    for unit, size in (("day", 86_400), ("hour", 3600), ("min", 60)):
        if seconds % size == 0:
            count = seconds // size
            plain = f"{unit}s" if unit != "min" else unit
            return f"every {unit}" if count == 1 else f"every {count} {plain}"
    return text


def commands(text: object) -> Markup:
    """What stands between backticks as code, as a terminal's reader would type it."""
    parts = str(text).split("`")
    if len(parts) % 2 == 0:  # one that is not closed, as where a text was cut
        return escape(str(text))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if odd % 2 else escape(part)
        for odd, part in enumerate(parts)
    )


def pretty_json(value: object) -> str:
    return json.dumps(value, indent=2, default=str, ensure_ascii=False)
