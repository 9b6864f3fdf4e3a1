"""The managed service `hive`: a metastore on loopback that knows every table of the lake."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from retaild.api import BuildContext, ConfigError, Endpoint, Server, TransientError
from retaild.api.service import Figures, software_home, write_private
from retaild_plugins.cluster.hive import thrift
from retaild_plugins.cluster.hive.config import HiveServiceConfig

_HOST = "127.0.0.1"
_LOG4J = """\
rootLogger.level = error
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %c{1}: %m%n%ex{5}
"""
_OPENS = tuple(
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in ("java.lang", "java.net", "java.util")
)


class HiveService:
    def __init__(self, config: HiveServiceConfig, context: BuildContext) -> None:
        self._config, self._context = config, context
        self._root = context.state_dir

    def open(self) -> None:
        """Write its configuration; a password of PostgreSQL is in a file for the owner alone."""
        conf = self._root / "conf"
        for path in (conf, self._root / "tmp"):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        (conf / "log4j2.properties").write_text(_LOG4J, "utf-8")
        write_private(conf / "hive-site.xml", rendered(self._settings()))

    def _settings(self) -> dict[str, str]:
        return {
            **self._store(),
            "datanucleus.connectionPoolingType": "HikariCP",
            "hive.metastore.schema.verification": "false",
            "hive.metastore.warehouse.dir": (self._root / "warehouse").as_uri(),
            "hive.metastore.event.db.notification.api.auth": "false",
            "hive.metastore.thrift.bind.host": _HOST,
            "hive.async.log.enabled": "false",
            "hive.stats.autogather": "false",
        }

    def _store(self) -> dict[str, str]:
        config = self._config
        if config.postgres:
            assert config.postgres_password is not None
            url, driver = f"jdbc:postgresql://{config.postgres}", "org.postgresql.Driver"
            user, password = config.postgres_user, config.postgres_password.get_secret_value()
        else:
            url = f"jdbc:derby:;databaseName={self._root / 'store'};create=true"
            driver = "org.apache.derby.iapi.jdbc.AutoloadedDriver"
            user, password = "retaild", ""
        return {
            "javax.jdo.option.ConnectionURL": url,
            "javax.jdo.option.ConnectionDriverName": driver,
            "javax.jdo.option.ConnectionUserName": user,
            "javax.jdo.option.ConnectionPassword": password,
        }

    def servers(self) -> Sequence[Server]:
        software, config = self._context.software_dir, self._config
        own = software_home(software, "hive")
        spark = software_home(software, "spark") / "python/pyspark/jars"
        command = (
            java(), f"-Xmx{config.heap_mib}m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError",
            f"-Djava.io.tmpdir={self._root / 'tmp'}",
            f"-Dderby.stream.error.file={self._root / 'derby.log'}", *_OPENS,
            "-cp", f"{self._root / 'conf'}:{own / 'classes'}:{own / 'jars'}/*:{spark}/*",
            "Metastore", _HOST, str(config.port), str(self._context.lake_dir.resolve()),
            str(config.look_seconds),
        )  # fmt: skip
        return [Server("metastore", command, {}, self._root, stop_seconds=15.0)]

    def endpoints(self) -> Sequence[Endpoint]:
        return [Endpoint("thrift", self._config.port)]

    def probe(self) -> Figures:
        try:
            with socket.create_connection((_HOST, self._config.port), thrift.SECONDS) as connection:
                databases = thrift.names(connection, "get_all_databases")
                tables = {
                    name: len(thrift.names(connection, "get_all_tables", name))
                    for name in databases
                }
        except (OSError, thrift.AnswerError) as error:
            raise TransientError(
                f"The metastore does not answer yet: {error}.", hint="It takes some ten seconds."
            ) from error
        return {f"tables_{name}": float(count) for name, count in tables.items() if count}

    def close(self) -> None:
        """Nothing is held."""


def java() -> str:
    """The `java` on the path. Raises ConfigError."""
    found = shutil.which("java")
    if found is None:
        raise ConfigError(
            "There is no Java on this machine.",
            hint="Install it: apt-get install openjdk-17-jdk-headless.",
        )
    return found


def rendered(settings: dict[str, str]) -> str:
    """Hadoop's XML of settings."""
    lines = (
        f"<property><name>{escape(name)}</name><value>{escape(value)}</value></property>\n"
        for name, value in settings.items()
    )
    return f"<configuration>\n{''.join(lines)}</configuration>\n"


def compiled(home: Path, source: Path) -> list[str]:
    """The command that compiles the launcher into `home`/classes."""
    spark = software_home(home.parent.parent, "spark") / "python/pyspark/jars"
    return ["javac", "-nowarn", "-d", str(home / "classes"), "-cp", f"{spark}/*", str(source)]
