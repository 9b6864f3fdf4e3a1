"""Where each key of a TOML file stands. The standard library's parser forgets lines."""

from __future__ import annotations

import re
import tomllib

Path = tuple[str, ...]

#: A bare, 'literal' or "basic" part of a key.
_PART = re.compile(r"""\s*(?:([A-Za-z0-9_-]+)|'([^'\n]*)'|"((?:[^"\\\n]|\\.)*)")\s*""")
#: Strings and comments inside a value, so that brackets and quotes in them do not count.
_SKIP = re.compile(
    r'''"""(?:[^\\]|\\.)*?"""|'{3}.*?'{3}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|#[^\n]*''', re.DOTALL
)


def key_lines(text: str) -> dict[Path, int]:
    """Line (from 1) of every table header and key, by path; list items go by their index.

    Expects text that tomllib has accepted; keys in inline tables get the line they stand on.
    """
    scanner = _Scanner(text)
    scanner.run()
    return scanner.lines


def line_of(lines: dict[Path, int], path: Path) -> int:
    """The line of `path`, or of its nearest ancestor that has one; 0 if none has."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 0


def _unescaped(basic: str | None) -> str | None:
    if basic is None or "\\" not in basic:
        return basic
    try:
        text: str = tomllib.loads(f'key = "{basic}"')["key"]
    except tomllib.TOMLDecodeError:
        return basic
    return text


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.table: Path = ()
        self.lines: dict[Path, int] = {}
        self.items: dict[Path, int] = {}

    def run(self) -> None:
        while self.at < len(self.text):
            character = self.text[self.at]
            if character in " \t\r\n":
                self.at += 1
            elif character == "#":
                self._to_line_end()
            elif character == "[":
                self._header()
            else:
                self._pair(self.table)

    def _to_line_end(self) -> None:
        end = self.text.find("\n", self.at)
        self.at = len(self.text) if end < 0 else end

    def _note(self, path: Path) -> None:
        line = self.text.count("\n", 0, self.at) + 1
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], line)

    def _key(self) -> Path:
        parts: list[str] = []
        while match := _PART.match(self.text, self.at):
            bare, literal, basic = match.groups()
            parts.append(next(p for p in (bare, literal, _unescaped(basic)) if p is not None))
            self.at = match.end()
            if not self.text.startswith(".", self.at):
                break
            self.at += 1
        return tuple(parts)

    def _header(self) -> None:
        listed = self.text.startswith("[[", self.at)
        self.at += 2 if listed else 1
        path = self._key()
        if listed:
            number = self.items.get(path, 0)
            self.items[path] = number + 1
            path = (*path, str(number))
        self.table = path
        self._note(path)
        self._to_line_end()

    def _pair(self, table: Path) -> None:
        start = self.at
        path = table + self._key()
        if self.at == start:  # not TOML after all: go on, never hang
            self._to_line_end()
            return
        end, self.at = self.at, start
        self._note(path)
        self.at = end
        self.at = self.text.find("=", self.at) + 1 or len(self.text)
        self._value(path)

    def _value(self, path: Path) -> None:
        """Pass over one value, noting the keys of inline tables in it."""
        self._blank()
        if self.text.startswith("{", self.at):
            self.at += 1
            self._inline(path)
        elif self.text.startswith("[", self.at):
            self.at += 1
            self._list(path)
        elif match := _SKIP.match(self.text, self.at):
            self.at = match.end()
        else:
            while self.at < len(self.text) and self.text[self.at] not in ",]}\n#":
                self.at += 1

    def _inline(self, path: Path) -> None:
        while self._next("}"):
            self._pair(path)

    def _list(self, path: Path) -> None:
        number = 0
        while self._next("]"):
            item = (*path, str(number))
            self._note(item)
            before = self.at
            self._value(item)
            number += 1
            if self.at == before:
                return

    def _next(self, closing: str) -> bool:
        """Go to the next element; False, behind the bracket, when there is none."""
        self._blank(",")
        if self.at >= len(self.text) or self.text[self.at] == closing:
            self.at += 1
            return False
        return True

    def _blank(self, also: str = "") -> None:
        while self.at < len(self.text):
            if self.text[self.at] in " \t\r\n" + also:
                self.at += 1
            elif self.text[self.at] == "#":
                self._to_line_end()
            else:
                return
