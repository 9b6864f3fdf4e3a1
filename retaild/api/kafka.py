"""How plugins reach a Kafka broker: the settings they share, in the words of both clients."""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from retaild.api.base import Config
from retaild.api.service import password_file

PORT = 9092
#: Who retaild is for the broker of its own service `kafka`.
USER = "retaild"


class KafkaClientConfig(Config):
    """Base of the settings of whatever talks to a broker."""

    bootstrap_servers: str = Field(
        default=f"127.0.0.1:{PORT}",
        description="Brokers to begin with, as host:port, comma between.",
    )
    user: str = Field(default=USER, description="Who retaild is there (SASL/PLAIN).")
    password: SecretStr | None = Field(
        default=None,
        description="Their password, by reference. Default: the one that retaild's own service "
        "`kafka` made, if the brokers are on this machine; else none is given.",
    )
    tls: bool = Field(default=False, description="Talk to the brokers over TLS.")
    ca_file: Path | None = Field(
        default=None, description="PEM file of authorities to trust instead of the system's."
    )

    @field_validator("bootstrap_servers")
    @classmethod
    def _addresses(cls, value: str) -> str:
        for address in value.split(","):
            host, _, port = address.strip().rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) < 65536:
                raise ValueError(f"{address!r} is no address such as 127.0.0.1:{PORT}")
        return value


def client_settings(config: KafkaClientConfig, services_dir: Path) -> dict[str, str]:
    """Security settings by librdkafka's names; read anew, as a service may have made a password."""
    password = _password(config, services_dir)
    carrier = "SSL" if config.tls else "PLAINTEXT"
    settings = {"security.protocol": f"SASL_{carrier}" if password else carrier}
    if password:
        settings |= {
            "sasl.mechanism": "PLAIN", "sasl.username": config.user, "sasl.password": password,
        }  # fmt: skip
    if config.ca_file is not None:
        settings["ssl.ca.location"] = str(config.ca_file)
    return settings


def java_settings(client: Mapping[str, str]) -> dict[str, str]:
    """What `client_settings` gave, by the names of Kafka's Java client."""
    settings = {"security.protocol": client.get("security.protocol", "PLAINTEXT")}
    if "sasl.username" in client:
        settings["sasl.mechanism"] = client["sasl.mechanism"]
        settings["sasl.jaas.config"] = jaas(client["sasl.username"], client["sasl.password"])
    if "ssl.ca.location" in client:
        settings["ssl.truststore.type"] = "PEM"
        settings["ssl.truststore.location"] = client["ssl.ca.location"]
    return settings


def jaas(user: str, password: str, accepted: Mapping[str, str] | None = None) -> str:
    """Login of a Java client; with `accepted`, user -> password, that of a broker."""
    options = {"username": user, "password": password}
    options |= {f"user_{name}": word for name, word in (accepted or {}).items()}
    words = " ".join(f"{name}={_quoted(value)}" for name, value in options.items())
    return f"org.apache.kafka.common.security.plain.PlainLoginModule required {words};"


def properties_text(settings: Mapping[str, object]) -> str:
    """A Java properties file."""
    return "".join(f"{key}={_escaped(str(value))}\n" for key, value in settings.items())


def _escaped(value: str) -> str:
    text = json.dumps(value)[1:-1].replace('\\"', '"')
    return f"\\{text}" if text.startswith(" ") else text


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _password(config: KafkaClientConfig, services_dir: Path) -> str | None:
    if config.password is not None:
        return config.password.get_secret_value()
    own = password_file(services_dir / "kafka")
    if _is_here(config.bootstrap_servers) and own.is_file():
        return own.read_text("utf-8").strip()
    return None


def _is_here(bootstrap_servers: str) -> bool:
    hosts = [address.strip().rpartition(":")[0] for address in bootstrap_servers.split(",")]
    return all(host == "localhost" or _is_loopback(host) for host in hosts)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
