"""Backups and the debug bundle over REST."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from retaild.runtime.backup.create import Backup

from .serving import InThread


def test_backups_are_listed_and_a_debug_bundle_is_handed_out(tmp_path: Path) -> None:
    place = tmp_path / "backups"
    with InThread(tmp_path / "shop", f'[backup]\ndirectory = "{place}"\n') as server:
        assert server.client.get("/api/v1/backups").json() == {
            "directory": str(place), "backups": [],
        }  # fmt: skip
        path, manifest = Backup(server.context, None).create(place)
        (found,) = server.client.get("/api/v1/backups").json()["backups"]
        assert (found["path"], found["bytes"]) == (str(path), manifest.size)

        answer = server.client.post("/api/v1/debug-bundle", timeout=60)
        assert answer.status_code == 200, answer.text
        with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
            assert "retaild-debug/state.json" in tar.getnames()
