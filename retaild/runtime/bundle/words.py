"""The words of the program itself: all others in a message came from data, and are left out."""

from __future__ import annotations

import ast
import builtins
import errno
import os
import re
import signal
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_PACKAGES = ("retaild", "retaild_plugins")
#: Examples and inventions, not messages.
_NOT_MESSAGES = ("demo", "testing")
_WORD = re.compile(r"[A-Za-z]+")


@cache
def vocabulary() -> frozenset[str]:
    """Lower-case words of the string literals and names in the source, and of the system's errors.

    Docstrings and comments do not count: what they tell of may be anything. About a second.
    """
    found: set[str] = set()
    for text in (*_system(), *_own()):
        found.update(word.lower() for word in _WORD.findall(text))
    return frozenset(found)


def _system() -> Iterator[str]:
    yield from (os.strerror(number) for number in errno.errorcode)
    yield from errno.errorcode.values()
    yield from (member.name for member in signal.Signals)
    yield from dir(builtins)
    yield "Traceback most recent call last File line in module During handling of the above"
    yield "exception another occurred database disk image is malformed locked I O full"


def _own() -> Iterator[str]:
    for package in _PACKAGES:
        spec = find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            for path in Path(place).rglob("*.py"):
                if not any(part in _NOT_MESSAGES for part in path.parts):
                    yield from path.stem.split("_")
                    yield from _texts(path)


def _texts(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError):
        return
    docs = {id(node.body[0].value) for node in ast.walk(tree) if _has_docstring(node)}  # type: ignore[attr-defined]
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name


def _has_docstring(node: ast.AST) -> bool:
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    if not isinstance(node, kinds) or not node.body:
        return False
    first = node.body[0]
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
