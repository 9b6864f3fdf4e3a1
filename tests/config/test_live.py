"""Settings shown by a process that a reload did not touch."""

from __future__ import annotations

from pathlib import Path

from retaild.config.active import Active, ActiveStore
from retaild.config.documents import read_documents
from retaild.config.live import LiveSettings
from retaild.config.paths import DataDir
from retaild.config.settings import load_settings


def test_what_is_reloaded_is_seen_and_what_is_broken_is_not(tmp_path: Path) -> None:
    main, data = tmp_path / "retaild.toml", DataDir(tmp_path / "data")
    store = ActiveStore(data)

    def activate(text: str, number: int) -> None:
        main.write_text(text)
        store.activate(Active.of(read_documents(main, {}), main, data.root), number, "test", "test")

    activate("[api]\nport = 8000\n", 1)
    live = LiveSettings(data, load_settings(store.path, data.root))
    assert live.now().api.port == 8000
    main.write_text("[api]\nport = 9000\n")
    assert live.now().api.port == 8000  # edited, not reloaded
    activate("[api]\nport = 9000\n", 2)
    assert live.now().api.port == 9000
    store.path.write_text("{")
    assert live.now().api.port == 9000
