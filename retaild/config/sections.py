"""The sections of the configuration. Field descriptions are the reference documentation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    """A frozen table of settings; keys it does not know are faults."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValueError(
            f"there is no time zone {name!r}; write one such as Europe/London"
        ) from None
    return name


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _address(host: str) -> str:
    try:
        if host != "localhost":
            ip_address(host)
    except ValueError:
        wanted = "write one of this machine, or 0.0.0.0"
        raise ValueError(f"{host!r} is no IP address; {wanted}") from None
    return host


def _public_url(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query):
        raise ValueError("write it as https://retaild.example.com")
    return url.rstrip("/")


#: Ranges of the five crontab fields: minute, hour, day of month, month, day of week.
_CRON_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_CRON_NAME = re.compile(
    "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|sun|mon|tue|wed|thu|fri|sat"
)


def _five_fields(text: str) -> str:
    fields = text.split()
    if len(fields) != 5:
        raise ValueError("a crontab line has five fields: minute hour day month weekday")
    for field, (low, high) in zip(fields, _CRON_RANGES, strict=True):
        for part in field.lower().split(","):
            match = re.fullmatch(r"(\*|[a-z]{3}|\d+)(?:-([a-z]{3}|\d+))?(?:/(\d+))?", part)
            bounds = [bound for bound in match.groups()[:2] if bound] if match else [""]
            if not all(_cron_bound(bound, low, high) for bound in bounds):
                raise ValueError(f"{part!r} is not a crontab field between {low} and {high}")
    return text


def _cron_bound(bound: str, low: int, high: int) -> bool:
    if bound.isdigit():
        return low <= int(bound) <= high
    return bound == "*" or _CRON_NAME.fullmatch(bound) is not None


class RetaildSection(Section):
    """[retaild]: the shop and the daemon."""

    data_dir: Path = Field(
        default=Path("retaild-data"),
        description="Directory of all state. Default: /var/lib/retaild for /etc/retaild, else "
        "retaild-data beside the configuration file.",
    )
    software_dir: str = Field(
        default="",
        description="Where `retaildctl service install` puts servers and engines. Default: "
        "software/ in the data directory; a directory of several data directories saves space.",
    )
    timezone: Annotated[str, AfterValidator(_known_zone)] = Field(
        default="UTC", description="IANA zone of the shop's clocks and of the job schedule."
    )
    currency: str = Field(
        default="GBP", pattern=r"^[A-Z]{3}$", description="ISO 4217 code of the shop's prices."
    )
    store: str = Field(
        default="main", min_length=1, max_length=200, description="Which shop of the chain this is."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="How much the daemon, workers and jobs write to their logs."
    )
    clock_offset_seconds: float = Field(
        default=0.0, le=0,
        description="Added to this machine's clock to get the shop's: the demo lives on the last "
        "day of its data. Leave it at 0.",
    )  # fmt: skip
    hung_seconds: float = Field(
        default=60.0, ge=3, le=3600,
        description="A worker that has not reported for so long is killed and started again.",
    )  # fmt: skip
    reload_seconds: float = Field(
        default=30.0, ge=1, le=600,
        description="What a reload starts must work within so many seconds, or all goes back; a "
        "managed service may take `limits.open_seconds` for its first start.",
    )  # fmt: skip
    supervision: Literal["auto", "children", "systemd"] = Field(
        default="auto",
        description="What runs the servers of services. children: processes that end with "
        "retaild. systemd: units that outlive a retaild that is killed. auto: systemd where "
        "retaild's own unit started it.",
    )
    reload_on_change: bool = Field(
        default=False, description="Reload by itself when a configuration file was changed."
    )


class ApiSection(Section):
    """[api]: the HTTP server of pages and REST."""

    host: Annotated[str, AfterValidator(_address)] = Field(
        default="127.0.0.1",
        description="Address to listen on. Where other machines can reach it, everybody has to "
        "sign in (see [access]) and TLS is needed.",
    )
    port: int = Field(default=8470, ge=1, le=65535, description="TCP port to listen on.")
    max_body_bytes: int = Field(
        default=8 * 1024 * 1024, ge=1024, le=16 * 1024 * 1024,
        description="A larger request is refused with 413.",
    )  # fmt: skip
    max_backlog_rows: int = Field(
        default=1_000_000, ge=1000,
        description="POST /events answers 503 while more rows than this wait for the lake.",
    )  # fmt: skip
    queue: int = Field(
        default=256, ge=1, le=10_000,
        description="POST /events answers 429 while more requests than this wait for the disk.",
    )  # fmt: skip
    realtime: bool = Field(
        default=True,
        description="The thread that answers runs the moment it has something to do, whatever "
        "plugins, jobs and the lake compute (the kernel's round robin), where this is permitted: "
        "as root or with LimitRTPRIO=1, and with two cores or more.",
    )
    url: Annotated[str, AfterValidator(_public_url)] = Field(
        default="",
        description="Address by which people reach it, where that is another than the one it "
        "listens on: https://retaild.example.com. The server answers to this name too.",
    )
    names: tuple[str, ...] = Field(
        default=(), description="More host names that it answers to; others are refused."
    )
    tls: Literal["own", "proxy"] = Field(
        default="own",
        description="own: by `tls_certificate`. proxy: a proxy before it does it; the server "
        "counts as reachable from other machines then, and believes a proxy on this machine "
        "whose request it passes on.",
    )
    tls_certificate: str = Field(
        default="",
        description="File with the certificate and its chain (PEM). Empty: no TLS. A file that "
        "changes is taken up within seconds, without a restart.",
    )
    tls_key: str = Field(
        default="", description="File with its private key (PEM); only retaild may read it."
    )
    tls_minimum: Literal["1.2", "1.3"] = Field(
        default="1.2", description="Oldest version of TLS that is spoken."
    )

    @model_validator(mode="after")
    def _protected(self) -> Self:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("state both tls_certificate and tls_key, or neither")
        if not is_loopback(self.host) and self.tls == "own" and not self.tls_certificate:
            raise ValueError(
                f"{self.host} can be reached from other machines, and passwords may not travel in "
                'the clear: state tls_certificate and tls_key, or tls = "proxy" if a proxy before '
                "it does TLS"
            )
        return self

    @property
    def reachable(self) -> bool:
        """Whether other machines can reach it."""
        return not is_loopback(self.host) or self.tls == "proxy"

    @property
    def secure(self) -> bool:
        """Whether browsers speak TLS with it."""
        return self.tls == "proxy" or bool(self.tls_certificate)


class AccessSection(Section):
    """[access]: who gets in."""

    required: Literal["auto", "always"] = Field(
        default="auto",
        description="auto: everybody has to sign in where other machines can reach the server; on "
        "loopback nobody has to. always: there too.",
    )
    session_idle_minutes: float = Field(
        default=60.0, gt=0, le=10_080,
        description="A session that is not used for so long ends.",
    )  # fmt: skip
    session_hours: float = Field(
        default=12.0, gt=0, le=720, description="A session ends after so long whatever happens."
    )


class LakeSection(Section):
    """[lake]: how often it is written and how long things are kept."""

    interval_seconds: float = Field(
        default=5.0, ge=0.05, le=60,
        description="Pause between micro-batches from log to lake; a rush of rows ends it. Every "
        "commit of a table makes the next ones a little slower until compaction.",
    )  # fmt: skip
    bronze_days: int = Field(
        default=0, ge=0, description="Days that raw events are kept; 0: for ever."
    )
    silver_days: int = Field(
        default=0, ge=0, description="Days that clean events are kept; 0: for ever."
    )
    dead_letter_days: int = Field(
        default=0, ge=0, description="Days that refused rows are kept; 0: for ever."
    )
    vacuum_hours: int = Field(
        default=48, ge=1, description="Hours that files of old table versions stay readable."
    )
    log_hours: int = Field(
        default=24, ge=1, description="Hours that log entries stay after they are in the lake."
    )


class BackupSection(Section):
    """[backup]: scheduled backups."""

    directory: str = Field(
        default="",
        description="Where the job `backup` puts them, best on another disk: once a night as soon "
        "as it is set. Files that did not change are shared between the backups in it.",
    )
    keep: int = Field(
        default=7, ge=1, description="So many of this shop's backups stay there; older ones go."
    )


class RecommendationsSection(Section):
    """[recommendations]: business rules of the slate."""

    count: int = Field(default=10, ge=1, le=100, description="Products in a slate by default.")
    category_cap: int = Field(
        default=3, ge=1, description="At most so many products of one category in a slate."
    )
    excluded_products: tuple[str, ...] = Field(
        default=(), description="Product ids that are never recommended."
    )
    excluded_categories: tuple[str, ...] = Field(
        default=(), description="Categories that are never recommended."
    )
    published_by: str = Field(
        default="",
        description="A trainer whose champion ranks everybody in one batch for what the job "
        "`publish` publishes; it must be able to (`spark` is). Empty: published is what the "
        "server answers.",
    )


class JobSection(Section):
    """[job.<name>]: a job and when it runs: by `cron`, by `every_seconds`, or only when asked."""

    kind: str = Field(description="Which work to do; default: the job's own name.")
    cron: Annotated[str, AfterValidator(_five_fields)] | None = Field(
        default=None,
        description="Crontab fields 'minute hour day month weekday' in the shop's time zone.",
    )
    every_seconds: int | None = Field(default=None, ge=10, description="Pause between runs.")
    arguments: dict[str, str] = Field(default={}, description="What the job is told.")
    enabled: bool = Field(default=True, description="false: not scheduled; may still be run.")
    timeout_seconds: int = Field(
        default=7200, ge=10, description="A run that takes longer is ended and counts as failed."
    )

    @model_validator(mode="after")
    def _one_schedule(self) -> Self:
        if self.cron is not None and self.every_seconds is not None:
            raise ValueError("state either cron or every_seconds, not both")
        return self


class AlertRoute(Section):
    """[alerts.route.<sink>]: which alerts one sink is told."""

    min_severity: Literal["info", "warning", "error", "critical"] = Field(
        default="warning", description="Alerts less severe than this are not sent there."
    )
    sources: tuple[str, ...] = Field(
        default=(),
        description="Only alerts raised by these: instance, job, disk, ... Empty: by anything.",
    )
    escalation: int = Field(
        default=0, ge=0, le=9,
        description="0: told at once. 1: told when nobody acknowledged for "
        "`escalate_after_minutes`, 2: after twice as long, and so on.",
    )  # fmt: skip


class AlertsSection(Section):
    """[alerts]: when alerts are raised, and who is told when; the sinks are [alert.<name>]."""

    group_parts: int = Field(
        default=2, ge=1, le=10,
        description="Alerts whose keys begin with the same so many parts (instance.source.tills: "
        "instance, source) make one message.",
    )  # fmt: skip
    group_wait_seconds: float = Field(
        default=10.0, ge=0, le=3600,
        description="A first message waits so long for others of its group; a critical one does "
        "not.",
    )  # fmt: skip
    group_interval_seconds: float = Field(
        default=60.0, ge=0, le=86_400,
        description="The least time between two messages that say how a group has changed.",
    )  # fmt: skip
    repeat_hours: float = Field(
        default=12.0, ge=0,
        description="What nobody acknowledged is told again so often; 0: told once.",
    )  # fmt: skip
    resolve_after_seconds: float = Field(
        default=120.0,
        ge=0,
        le=86_400,
        description="An alert is over when all was well for so long: what comes and goes pages "
        "once.",
    )
    escalate_after_minutes: float = Field(
        default=15.0, ge=0, description="See `escalation` of the routes; 0: never."
    )
    history_days: int = Field(
        default=90, ge=1, le=3650, description="Days that past alerts and messages are kept."
    )
    route: dict[str, AlertRoute] = Field(
        default={},
        description="Sink's name -> its route. A sink without one is told warnings and worse.",
    )
    lag_rows: int = Field(
        default=1_000_000, ge=1, description="Alert when the lake is more rows behind the log."
    )
    lag_seconds: float = Field(
        default=900.0, ge=10, description="Alert when the lake is more seconds behind the log."
    )
    disk_percent: float = Field(
        default=90.0, gt=0, le=100,
        description="Warning when the disk is fuller; critical at half of what is then left.",
    )  # fmt: skip
    disk_days: float = Field(
        default=7.0, ge=0, description="Warning when the disk will be full in fewer days."
    )
    dead_letter_share: float = Field(
        default=0.05, gt=0, le=1,
        description="Alert when a greater share of a source's rows was refused in an hour.",
    )  # fmt: skip
    silent_hours: float = Field(
        default=48.0, ge=0, description="Alert when a source was silent for longer; 0: never."
    )
    silent_hours_of: dict[str, float] = Field(
        default={}, description="As `silent_hours`, by source, where one is different."
    )
    certificate_days: tuple[int, int, int] = Field(
        default=(21, 7, 1),
        description="Info, warning, critical when the API's certificate ends in fewer days.",
    )


class LimitsSection(Section):
    """[<kind>.<name>.limits]: what one component may take before the host ends its process."""

    memory_mib: int = Field(
        default=512,
        ge=32,
        description="Memory of its own, its children's with it. Where it is not stated, a service "
        "may take twice what its plugin names, [bus] 2048 (the ingest worker with it), [stream] "
        "3/4 of the machine's, but at least 2048.",
    )
    processes: int = Field(
        default=16, ge=1,
        description="Processes, itself among them; not stated: of a service 64, of [stream] and "
        "[bus] 256.",
    )  # fmt: skip
    open_seconds: float = Field(
        default=60.0, ge=1,
        description="Opening may take so long before it counts as hung; not stated: of a service "
        "300, of [stream] 150.",
    )  # fmt: skip
    hung_seconds: float = Field(
        default=60.0, ge=1,
        description="A call that takes longer than this counts as hung; not stated: of [stream] "
        "as `retaild.hung_seconds`.",
    )  # fmt: skip
    failures: int = Field(
        default=5, ge=1,
        description="So many failures within `window_seconds`, and it is put into quarantine; not "
        "stated: of [stream] 10.",
    )  # fmt: skip
    window_seconds: float = Field(
        default=600.0, ge=1,
        description="Failures longer ago than this are forgotten; not stated: of [stream] 1800.",
    )  # fmt: skip
    log_bytes_per_second: int = Field(
        default=262_144, ge=1024, description="What prints faster than this is slowed down."
    )


class PluginInstance(Section):
    """A configured plugin. Keys other than those below are the plugin's own `settings`."""

    plugin: str = Field(description="Name of the plugin; default: the instance's own name.")
    startup: Literal["error", "retry", "ignore"] = Field(
        default="retry",
        description="When it cannot be opened: end the worker, try again with growing pauses, or "
        "go on without it.",
    )
    enabled: bool = Field(default=True, description="false: as if it were not configured.")
    limits: LimitsSection = Field(
        default=LimitsSection(), description="What it may take before its process is ended."
    )
    settings: dict[str, Any] = Field(default={}, description="The plugin's own settings.")

    @model_validator(mode="before")
    @classmethod
    def _gather_settings(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        own = {key: value for key, value in values.items() if key in cls.model_fields}
        rest = {key: value for key, value in values.items() if key not in cls.model_fields}
        return {**own, "settings": {**own.get("settings", {}), **rest}} if rest else own
