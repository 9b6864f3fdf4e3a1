"""Static files: read once, named by content, cached by browsers for good."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

STATIC = Path(__file__).parent / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    name: str
    body: bytes
    media_type: str
    digest: str


class Assets:
    """The files of a folder (a few, small) in memory."""

    def __init__(self, folder: Path = STATIC) -> None:
        files = [path for path in sorted(folder.iterdir()) if path.suffix in _TYPES]
        self._assets = {path.name: _load(path) for path in files}

    def url(self, name: str) -> str:
        """`/static/app.css?v=<hash>`; raises KeyError for a file that is not there."""
        return f"/static/{name}?v={self._assets[name].digest}"

    def size(self, name: str) -> int:
        return len(self._assets[name].body)

    async def respond(self, request: Request) -> Response:
        asset = self._assets.get(request.path_params["name"])
        if asset is None:
            return PlainTextResponse("Not found\n", status_code=404)
        current = request.query_params.get("v") == asset.digest
        headers = {
            "etag": f'"{asset.digest}"',
            "cache-control": "public, max-age=31536000, immutable" if current else "no-cache",
            "x-content-type-options": "nosniff",
        }
        if headers["etag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(asset.body, media_type=asset.media_type, headers=headers)


def _load(path: Path) -> Asset:
    body = path.read_bytes()
    if path.suffix == ".css":
        body = squeezed(body.decode()).encode()
    digest = hashlib.sha256(body).hexdigest()[:12]
    return Asset(path.name, body, _TYPES[path.suffix], digest)


def squeezed(style: str) -> str:
    """CSS without comments and the spaces that mean nothing: a sixth less on the wire."""
    bare = re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL)
    return re.sub(r"\s*([{};,])\s*", r"\1", " ".join(bare.split()))
