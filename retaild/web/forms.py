"""Reading forms that our own pages sent."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request

from retaild.api.errors import RetaildError

MAX_FORM_BYTES = 256 * 1024


class ForeignFormError(RetaildError):
    """Another site's page tried to act through the reader's browser."""

    key = "page.foreign_form"

    def __init__(self) -> None:
        super().__init__(
            "This form did not come from retaild's own pages.",
            hint="Open the page again and send it from there.",
        )


class LargeFormError(RetaildError):
    key = "page.large_form"

    def __init__(self) -> None:
        super().__init__("The form is too large.", hint="Choose fewer rows at a time.")


class Form:
    """Fields by name; absent ones are empty."""

    def __init__(self, fields: dict[str, list[str]]) -> None:
        self._fields = fields

    def one(self, name: str) -> str:
        return next(iter(self._fields.get(name, [])), "").strip()

    def raw(self, name: str) -> str:
        """As it was typed, blanks at its ends included: a password."""
        return next(iter(self._fields.get(name, [])), "")

    def all(self, name: str) -> Sequence[str]:
        return self._fields.get(name, [])


async def read_form(request: Request) -> Form:
    """The form of a POST; raises ForeignFormError unless a page of this host sent it."""
    if _foreign(request):
        raise ForeignFormError
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise LargeFormError
    return Form(parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True))


def _foreign(request: Request) -> bool:
    """Browsers say where a form comes from; command line clients say nothing and may pass."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host", "")


def local_path(text: str, prefix: str) -> str:
    """`text` if it is a path of ours under `prefix`, else `prefix`: no open redirects."""
    try:
        parts = urlsplit(text)
    except ValueError:  # "//[" and the like
        return prefix
    # Browsers take a backslash for a slash, and leave tabs and line breaks out.
    safe = not parts.scheme and not parts.netloc and "\\" not in text and text.isprintable()
    return text if safe and (parts.path == prefix or text.startswith(prefix + "/")) else prefix
