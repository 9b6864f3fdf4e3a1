"""`retaild [run] [--config FILE] [--data DIR]`: the daemon in the foreground."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

#: Exit codes, shared with `retaildctl`.
EXIT_FAILURE = 1
EXIT_FAULTS = 4


def main(arguments: list[str] | None = None) -> int:
    """0 after an orderly stop, 1 if it cannot start, 4 if the configuration has faults."""
    parser = argparse.ArgumentParser(prog="retaild", description="The retaild daemon.")
    parser.add_argument("command", nargs="?", choices=["run"], default="run", help="(default)")
    parser.add_argument("-c", "--config", type=Path, metavar="FILE")
    parser.add_argument("-d", "--data", type=Path, metavar="DIR", help="data directory")
    options = parser.parse_args(arguments)
    return run(options.config, options.data)


def run(config: Path | None, data: Path | None) -> int:
    """Read the configuration and be the daemon until told to stop."""
    from retaild.api.errors import RetaildError
    from retaild.config.faults import ConfigFaultsError
    from retaild.config.locate import locate_config
    from retaild.daemon.service import Daemon
    from retaild.runtime import logs
    from retaild.runtime.context import surroundings

    try:
        settings, directory = surroundings(config, data)
        logs.set_up(settings.retaild.log_level)
        found = locate_config(config)
        return Daemon(settings, directory, found.absolute() if found else None).run()
    except ConfigFaultsError as error:
        print(f"retaild: {error}", file=sys.stderr)
        return EXIT_FAULTS
    except RetaildError as error:
        print(f"retaild: {error}", file=sys.stderr)
        return EXIT_FAILURE
    except OSError as error:
        print(f"retaild: {error}", file=sys.stderr)
        return EXIT_FAILURE


if __name__ == "__main__":
    sys.exit(main())
