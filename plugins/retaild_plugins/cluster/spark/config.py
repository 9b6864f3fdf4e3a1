"""Settings of what runs on Spark."""

from __future__ import annotations

from pydantic import Field

from retaild.api import Config


class SparkConfig(Config):
    """Where the work is done; the same for every kind."""

    master: str = Field(
        default="local",
        pattern=r"^(local|spark://[^\s/:]+:\d+(,[^\s/:]+:\d+)*)$",
        description="`local`: in a Java process beside retaild's own; else the address of a "
        "standalone master: spark://127.0.0.1:7077. Its workers must see the lake under the same "
        "path.",
    )
    heap_mib: int = Field(
        default=1024, ge=512, le=262_144,
        description="Memory of the driver's Java heap, in MiB. With `local` it does all the work.",
    )  # fmt: skip
    executor_mib: int = Field(
        default=1024, ge=512, le=262_144,
        description="Memory of an executor's Java heap, in MiB; without a meaning for `local`.",
    )  # fmt: skip
    driver_host: str = Field(
        default="127.0.0.1", min_length=1,
        description="Address on which the driver listens for its executors.",
    )  # fmt: skip
    metastore: str = Field(
        default="", pattern=r"^(thrift://[^\s/:]+:\d+)?$",
        description="Address of a Hive Metastore whose tables are known by name: "
        "thrift://127.0.0.1:9083.",
    )  # fmt: skip


class SparkStreamConfig(SparkConfig):
    batch_rows: int = Field(
        default=524_288, ge=1, le=16_777_216,
        description="Rows that are written as one, at most, when there is a backlog.",
    )  # fmt: skip


class SparkTrainerConfig(SparkConfig):
    heap_mib: int = Field(
        default=1536, ge=512, le=262_144,
        description="Memory of the driver's Java heap, in MiB. With `local` it does all the work.",
    )  # fmt: skip
    rank: int = Field(default=32, ge=2, le=256, description="Numbers that a factor has.")
    iterations: int = Field(default=10, ge=1, le=50, description="Rounds of ALS.")
    alpha: float = Field(
        default=10.0, gt=0, description="How much surer a further receipt makes it (Hu et al.)."
    )
    regularisation: float = Field(default=0.05, gt=0, description="MLlib's regParam.")
    holdout_weeks: int = Field(
        default=4, ge=1, le=26, description="Newest calendar weeks, kept back to judge the model."
    )
    minimum_receipts: int = Field(
        default=200, ge=10, description="With fewer receipts before those weeks it does not train."
    )
    maximum_cases: int = Field(
        default=4000, ge=50, description="Customers, at most, that judge the model."
    )


class SparkServiceConfig(Config):
    port: int = Field(default=7077, ge=1, le=65535, description="Port of the master.")
    worker_port: int = Field(default=7078, ge=1, le=65535, description="Port of the worker.")
    master_page: int = Field(default=7080, ge=1, le=65535, description="Port of the master's page.")
    worker_page: int = Field(default=7081, ge=1, le=65535, description="Port of the worker's page.")
    cores: int = Field(default=2, ge=1, le=1024, description="Cores that the worker may use.")
    worker_mib: int = Field(
        default=2048, ge=512, le=1_048_576,
        description="Memory that the worker may give to executors, in MiB.",
    )  # fmt: skip
    heap_mib: int = Field(
        default=256, ge=128, le=8192,
        description="Memory of the Java heaps of master and worker themselves, in MiB.",
    )  # fmt: skip
