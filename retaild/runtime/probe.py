"""`python -m retaild.runtime.probe KIND INSTANCE`: would this component work? Nothing is changed.

A short process beside the ones that work: it builds the component from the settings that it is
given and calls its `check`, if it has one (`retaild.api.source.Checkable`).
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from pathlib import Path

from retaild.api.errors import RetaildError
from retaild.config.paths import DataDir
from retaild.config.settings import Settings
from retaild.host.environments import launch_of
from retaild.host.registry import PluginRegistry
from retaild.runtime import logs
from retaild.runtime.context import Context, surroundings
from retaild.runtime.process import bind_to_parent
from retaild.runtime.state import State


def probe(context: Context, kind: str, instance: str) -> None:
    """Raises what the component raises."""
    component = context.build(kind, instance)
    check = getattr(component, "check", None)
    if callable(check):
        check()


def command(
    kind: str, instance: str, settings: Settings, config: Path, data: DataDir, answer: Path
) -> list[str]:
    """The command line of a probe. What is wrong is written to `answer`; else it is not made."""
    section = getattr(settings, kind)
    plugin = section[instance] if isinstance(section, dict) else section
    python = launch_of(kind, plugin.plugin, data).python or sys.executable
    words = [str(python), "-m", "retaild.runtime.probe", kind, instance]
    return [*words, "--config", str(config), "--data", str(data.root), "--answer", str(answer)]


def main() -> int:
    bind_to_parent()
    parser = argparse.ArgumentParser(prog="retaild.runtime.probe")
    parser.add_argument("kind")
    parser.add_argument("instance")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--answer", type=Path, required=True)
    options = parser.parse_args()
    try:
        settings, data = surroundings(options.config, options.data)
        logs.set_up(settings.retaild.log_level)
        state, stop = State(data.state_db), threading.Event()
        context = Context("probe", settings, data, PluginRegistry.load(data), state, stop)
        probe(context, options.kind, options.instance)
    except Exception as error:  # whatever a plugin raises is what people want to know
        said = isinstance(error, RetaildError)
        message = error.message if isinstance(error, RetaildError) else repr(error)
        hint = error.hint if isinstance(error, RetaildError) else ""
        options.answer.write_text(json.dumps({"message": message, "hint": hint, "said": said}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
