"""Reads the SQL of the steps (`retaild.pipeline.steps`) into a tree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<text>'(?:[^']|'')*')|(?P<word>[A-Za-z_]\w*)"
    r"|(?P<sign><>|!=|<=|>=|[-+*/=<>(),]))"
)
_COMPARISONS = frozenset({"=", "<>", "!=", "<", "<=", ">", ">="})
_FUNCTIONS = frozenset({"COALESCE", "COUNT", "SUM", "MIN", "MAX"})


class NotLoweredError(ValueError):
    """The SQL uses something that cannot be computed in Flink's Python exactly as elsewhere."""


@dataclass(frozen=True, slots=True)
class Node:
    """`kind` is a sign, a key word, a function's name, or one of column, number, text; `text` what
    it says, or the type of a CAST."""

    kind: str
    parts: tuple[Node, ...] = ()
    text: str = ""

    def nodes(self) -> Iterator[Node]:
        """This one and all below it."""
        yield self
        for part in self.parts:
            yield from part.nodes()


def parsed(sql: str) -> Node:
    """Raises NotLoweredError."""
    reader = _Reader(_tokens(sql))
    node = reader.condition()
    reader.take("end")
    return node


def _tokens(sql: str) -> list[tuple[str, str]]:
    found, place, sql = [], 0, sql.rstrip()
    while place < len(sql):
        match = _TOKEN.match(sql, place)
        if match is None or match.lastgroup is None:
            raise NotLoweredError(f"{sql[place:].strip()[:40]!r} is not understood")
        found.append((match.lastgroup, match[match.lastgroup]))
        place = match.end()
    return [*found, ("end", "")]


class _Reader:
    """Recursive descent: each method reads what binds at least as closely as its name says."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens, self._place = tokens, 0

    def condition(self) -> Node:
        node = self._conjunction()
        while self._has("OR"):
            node = Node("OR", (node, self._conjunction()))
        return node

    def _conjunction(self) -> Node:
        node = self._negation()
        while self._has("AND"):
            node = Node("AND", (node, self._negation()))
        return node

    def _negation(self) -> Node:
        return Node("NOT", (self._negation(),)) if self._has("NOT") else self._comparison()

    def _comparison(self) -> Node:
        node = self._sum()
        if self._sign() in _COMPARISONS:
            return Node(self._next()[1].replace("!=", "<>"), (node, self._sum()))
        if self._has("IS"):
            negated = self._has("NOT")
            self.take("NULL")
            null = Node("IS NULL", (node,))
            return Node("NOT", (null,)) if negated else null
        negated = self._has("NOT")
        if self._has("IN"):
            within = Node("IN", (node, *self._arguments()))
            return Node("NOT", (within,)) if negated else within
        if negated:
            raise NotLoweredError(f"NOT {self._next()[1]} is not understood")
        return node

    def _sum(self) -> Node:
        node = self._product()
        while self._sign() in ("+", "-"):
            node = Node(self._next()[1], (node, self._product()))
        return node

    def _product(self) -> Node:
        node = self._single()
        while self._sign() in ("*", "/"):
            node = Node(self._next()[1], (node, self._single()))
        return node

    def _single(self) -> Node:
        if self._has("-"):
            return Node("negative", (self._single(),))
        if self._has("("):
            node = self.condition()
            self.take(")")
            return node
        kind, text = self._next()
        if kind == "number":
            return Node("number", (), text)
        if kind == "text":
            return Node("text", (), text[1:-1].replace("''", "'"))
        if kind == "word":
            return self._word(text)
        raise NotLoweredError(f"{text or 'the end'!r} is not expected there")

    def _word(self, text: str) -> Node:
        word = text.upper()
        if word in ("NULL", "TRUE", "FALSE"):
            return Node(word)
        if word == "CAST":
            return self._cast()
        if word == "CASE":
            return self._case()
        if self._sign() != "(":
            return Node("column", (), text)
        if word not in _FUNCTIONS:
            raise NotLoweredError(f"there is no function {text}")
        return self._count() if word == "COUNT" else Node(word, self._arguments())

    def _count(self) -> Node:
        self.take("(")
        if self._has("*"):
            self.take(")")
            return Node("COUNT")
        kind = "COUNT DISTINCT" if self._has("DISTINCT") else "COUNT"
        node = Node(kind, (self.condition(),))
        self.take(")")
        return node

    def _cast(self) -> Node:
        self.take("(")
        node = self.condition()
        self.take("AS")
        name = self._next()[1].upper()
        if name == "DECIMAL":
            self.take("(")
            precision = self._next()[1]
            self.take(",")
            name = f"DECIMAL({precision}, {self._next()[1]})"
            self.take(")")
        self.take(")")
        return Node("CAST", (node,), name)

    def _case(self) -> Node:
        """Parts: condition, value, condition, value, ..., what it is else."""
        parts: list[Node] = []
        while self._has("WHEN"):
            parts.append(self.condition())
            self.take("THEN")
            parts.append(self.condition())
        if not parts:
            raise NotLoweredError("CASE is understood with WHEN behind it only")
        parts.append(self.condition() if self._has("ELSE") else Node("NULL"))
        self.take("END")
        return Node("CASE", tuple(parts))

    def _arguments(self) -> tuple[Node, ...]:
        self.take("(")
        found = [self.condition()]
        while self._has(","):
            found.append(self.condition())
        self.take(")")
        return tuple(found)

    def _next(self) -> tuple[str, str]:
        token = self._tokens[self._place]
        self._place = min(self._place + 1, len(self._tokens) - 1)
        return token

    def _sign(self) -> str:
        kind, text = self._tokens[self._place]
        return text if kind == "sign" else ""

    def _has(self, word: str) -> bool:
        """Steps over this key word or sign, if it is what comes next."""
        kind, text = self._tokens[self._place]
        if kind not in ("word", "sign", "end") or (text.upper() or kind) != word:
            return False
        self._next()
        return True

    def take(self, word: str) -> None:
        if not self._has(word):
            raise NotLoweredError(f"{word} is missing before {self._next()[1]!r}")
