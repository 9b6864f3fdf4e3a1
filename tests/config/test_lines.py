"""Lines of keys in TOML files."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from retaild.config.lines import key_lines, line_of
from retaild.config.toml_text import dump

TRICKY = '''\
# [not.a.table]
title = "a # no comment, [no] list"  # a comment with = and "

[api]
port = 1
"quoted key".inner = 2
text = """
[fake]
port = 3
\\"""
"""
raw = \'\'\'
[also.fake]
\'\'\'

[source.tills]
columns = { a = "x", "b.c" = [ 1, 2 ] }
files = [
  "one",  # [comment]
  { deep = "]" },
]
after = true

[[list]]
x = 1
[[list]]
x = 2
[list.sub]
y = 3
'''


def test_tricky_document() -> None:
    tomllib.loads(TRICKY)
    lines = key_lines(TRICKY)
    expected = {
        ("title",): 2,
        ("api",): 4,
        ("api", "port"): 5,
        ("api", "quoted key"): 6,
        ("api", "quoted key", "inner"): 6,
        ("api", "text"): 7,
        ("api", "raw"): 12,
        ("source",): 16,
        ("source", "tills", "columns", "b.c"): 17,
        ("source", "tills", "columns", "b.c", "1"): 17,
        ("source", "tills", "files"): 18,
        ("source", "tills", "files", "0"): 19,
        ("source", "tills", "files", "1", "deep"): 20,
        ("source", "tills", "after"): 22,
        ("list", "0", "x"): 25,
        ("list", "1", "x"): 27,
    }
    assert {path: lines.get(path) for path in expected} == expected
    assert not any("fake" in path or "not" in path for path in lines)


def test_nearest_ancestor() -> None:
    lines = key_lines("[api]\nport = 1\n")
    assert line_of(lines, ("api", "port", "deeper")) == 2
    assert line_of(lines, ("api", "missing")) == 1
    assert line_of(lines, ("nothing",)) == 0


def test_never_hangs_on_what_is_not_toml() -> None:
    for text in (
        "=",
        "[",
        "[[",
        "a",
        'a = "',
        "a = [",
        "a = {",
        "][",
        "a = [1\n= 2",
        "\x00",
        '"\\u12" = 1',
    ):
        key_lines(text)


scalars = st.booleans() | st.integers(-1000, 1000) | st.text(max_size=8)
keys = st.text(min_size=1, max_size=6)
documents = st.dictionaries(
    keys,
    st.recursive(
        scalars | st.lists(scalars, max_size=3),
        lambda inner: st.dictionaries(keys, inner, min_size=1, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


def _paths(values: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _paths(value, (*path, key))
        else:
            yield (*path, key)


@given(documents)
def test_every_key_has_the_line_it_stands_on(values: dict[str, Any]) -> None:
    """Whatever the keys hold; the line of a key parses alone and begins with it."""
    text = dump(values)
    lines = key_lines(text)
    for path in _paths(tomllib.loads(text)):
        line = text.split("\n")[lines[path] - 1]
        assert next(iter(tomllib.loads(line))) == path[-1]
