"""Builds the gold tables: `_gold.py LAKE SOFTWARE MASTER`."""

from __future__ import annotations

import sys
from pathlib import Path

from retaild_plugins.cluster.spark.batch import SparkEngine
from retaild_plugins.cluster.spark.config import SparkConfig

from retaild.api import BuildContext
from retaild.pipeline.batch import batch_tables

lake, software, master = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
context = BuildContext("batch", lake.parent / "state", lake, threads=2, software_dir=software)
engine = SparkEngine(SparkConfig(master=master, heap_mib=512, executor_mib=512), context)
engine.open()
try:
    engine.run(batch_tables())
finally:
    engine.close()
