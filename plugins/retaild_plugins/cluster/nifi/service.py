"""The managed service `nifi`: one node on loopback, with the flows that the configuration names."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any

from retaild.api import BuildContext, ConfigError, Endpoint, Server
from retaild.api.service import Figures, make_password, software_home, write_private
from retaild_plugins.cluster.nifi.config import HttpFlow, NifiConfig
from retaild_plugins.cluster.nifi.flows import plan_of

FLOW_FILE = "conf/flow.json.gz"
_AUTHORIZERS = """<authorizers>
  <authorizer>
    <identifier>single-user-authorizer</identifier>
    <class>org.apache.nifi.authorization.single.user.SingleUserAuthorizer</class>
  </authorizer>
</authorizers>
"""
_STATE = """<stateManagement>
  <local-provider>
    <id>local-provider</id>
    <class>org.apache.nifi.controller.state.providers.local.WriteAheadLocalStateProvider</class>
    <property name="Directory">./state/local</property>
    <property name="Always Sync">true</property>
    <property name="Partitions">4</property>
    <property name="Checkpoint Interval">2 mins</property>
  </local-provider>
</stateManagement>
"""
_LOGBACK = """<configuration>
  <appender name="C" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%level [%thread] %logger{30} %msg%n</pattern></encoder>
  </appender>
  <logger name="org.apache.nifi.processors" level="WARN"/>
  <root level="WARN"><appender-ref ref="C"/></root>
</configuration>
"""


class NifiService:
    def __init__(self, config: NifiConfig, context: BuildContext) -> None:
        self._config = config
        self._root = context.state_dir
        self._software = context.software_dir
        self._canvas: Any = None

    def open(self) -> None:
        """Write its configuration. What its queues hold stays where it is."""
        home = software_home(self._software, "nifi")
        conf = self._root / "conf"
        for place in (conf, self._root / "tmp", self._root / "extensions"):
            place.mkdir(parents=True, exist_ok=True, mode=0o750)
        # It looks for this folder where it runs.
        link = self._root / "lib"
        link.unlink(missing_ok=True)
        link.symlink_to(home / "lib")
        write_private(conf / "nifi.properties", self._properties())
        (conf / "authorizers.xml").write_text(_AUTHORIZERS, "utf-8")
        (conf / "login-identity-providers.xml").write_text("<loginIdentityProviders/>\n", "utf-8")
        (conf / "state-management.xml").write_text(_STATE, "utf-8")
        (conf / "logback.xml").write_text(_LOGBACK, "utf-8")

    def _properties(self) -> str:
        settings: dict[str, object] = {
            "nifi.flow.configuration.file": "./conf/flow.xml.gz",
            "nifi.flow.configuration.json.file": f"./{FLOW_FILE}",
            "nifi.flow.configuration.archive.enabled": "false",
            "nifi.flowcontroller.autoResumeState": "true",
            "nifi.flowcontroller.graceful.shutdown.period": "10 sec",
            "nifi.flowservice.writedelay.interval": "500 ms",
            "nifi.administrative.yield.duration": "5 sec",
            "nifi.bored.yield.duration": "10 millis",
            "nifi.queue.backpressure.count": 10_000,
            "nifi.queue.backpressure.size": "256 MB",
            "nifi.authorizer.configuration.file": "./conf/authorizers.xml",
            "nifi.login.identity.provider.configuration.file": (
                "./conf/login-identity-providers.xml"
            ),
            "nifi.templates.directory": "./conf/templates",
            "nifi.ui.autorefresh.interval": "30 sec",
            "nifi.nar.library.directory": "./lib",
            "nifi.nar.library.autoload.directory": "./extensions",
            "nifi.nar.working.directory": "./work/nar/",
            "nifi.documentation.working.directory": "./work/docs/components",
            "nifi.state.management.configuration.file": "./conf/state-management.xml",
            "nifi.state.management.provider.local": "local-provider",
            "nifi.state.management.embedded.zookeeper.start": "false",
            "nifi.database.directory": "./database_repository",
            "nifi.h2.url.append": ";LOCK_TIMEOUT=25000;WRITE_DELAY=0;AUTO_SERVER=FALSE",
            "nifi.flowfile.repository.implementation": (
                "org.apache.nifi.controller.repository.WriteAheadFlowFileRepository"
            ),
            "nifi.flowfile.repository.wal.implementation": (
                "org.apache.nifi.wali.SequentialAccessWriteAheadLog"
            ),
            "nifi.flowfile.repository.directory": "./flowfile_repository",
            "nifi.flowfile.repository.checkpoint.interval": "20 secs",
            # What it has taken from a folder or answered a sender for survives a power cut.
            "nifi.flowfile.repository.always.sync": "true",
            "nifi.content.repository.always.sync": "true",
            "nifi.swap.manager.implementation": (
                "org.apache.nifi.controller.FileSystemSwapManager"
            ),
            "nifi.queue.swap.threshold": 20_000,
            "nifi.content.repository.implementation": (
                "org.apache.nifi.controller.repository.FileSystemRepository"
            ),
            "nifi.content.claim.max.appendable.size": "50 KB",
            "nifi.content.repository.directory.default": "./content_repository",
            "nifi.content.repository.archive.enabled": "false",
            "nifi.provenance.repository.implementation": (
                "org.apache.nifi.provenance.VolatileProvenanceRepository"
            ),
            "nifi.provenance.repository.buffer.size": 10_000,
            "nifi.components.status.repository.implementation": (
                "org.apache.nifi.controller.status.history.VolatileComponentStatusRepository"
            ),
            "nifi.components.status.repository.buffer.size": 288,
            "nifi.components.status.snapshot.frequency": "5 mins",
            "nifi.remote.input.http.enabled": "false",
            "nifi.remote.input.secure": "false",
            "nifi.web.http.host": "127.0.0.1",
            "nifi.web.http.port": self._config.port,
            "nifi.web.jetty.working.directory": "./work/jetty",
            "nifi.web.jetty.threads": 24,
            "nifi.web.max.requests.per.second": 30_000,
            "nifi.sensitive.props.key": make_password(self._root),
            "nifi.sensitive.props.algorithm": "NIFI_PBKDF2_AES_GCM_256",
            "nifi.security.user.authorizer": "single-user-authorizer",
            "nifi.cluster.is.node": "false",
        }
        return "".join(f"{key}={value}\n" for key, value in settings.items())

    def servers(self) -> Sequence[Server]:
        java = shutil.which("java")
        if java is None:
            raise ConfigError(
                "There is no Java on this machine.",
                hint="Install it: apt-get install openjdk-17-jre-headless.",
            )
        heap = self._config.heap_mib
        command = (
            java, f"-Xms{heap // 2}m", f"-Xmx{heap}m", "-XX:+UseSerialGC",
            f"-Djava.io.tmpdir={self._root / 'tmp'}",
            f"-Dnifi.properties.file.path={self._root / 'conf/nifi.properties'}",
            "-Djava.net.preferIPv4Stack=true", "-Djava.awt.headless=true",
            f"-Dorg.apache.nifi.bootstrap.config.log.dir={self._root / 'logs'}", "-Dapp=NiFi",
            "-cp", "conf:lib/*:lib/java11/*", "org.apache.nifi.NiFi",
        )  # fmt: skip
        return [Server("nifi", command, {}, self._root, stop_seconds=25.0)]

    def endpoints(self) -> Sequence[Endpoint]:
        posts = [
            Endpoint(f"flow {name}", flow.port)
            for name, flow in self._config.flow.items()
            if isinstance(flow, HttpFlow)
        ]
        return [Endpoint("pages and REST", self._config.port), *posts]

    def probe(self) -> Figures:
        """Deploys the flows when it answers for the first time."""
        from retaild_plugins.cluster.nifi.canvas import Canvas

        if self._canvas is None:
            address = f"http://127.0.0.1:{self._config.port}/nifi-api"
            canvas = Canvas(address, self._root / FLOW_FILE)
            canvas.check()
            for name, flow in self._config.flow.items():
                plan = plan_of(name, flow, self._config, self._root / "refused" / name)
                canvas.deploy(name, plan)
            canvas.remove_others(set(self._config.flow))
            self._canvas = canvas
        figures: Figures = self._canvas.figures()
        return figures

    def close(self) -> None:
        self._canvas = None
