"""Asks Spark: `_ask.py SOFTWARE METASTORE QUERY`; prints the only row."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from retaild_plugins.cluster.spark.config import SparkConfig
from retaild_plugins.cluster.spark.session import SESSIONS

from retaild.api import BuildContext

software, metastore, query = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
with tempfile.TemporaryDirectory() as root:
    context = BuildContext("ask", Path(root), Path(root), software_dir=software)
    session = SESSIONS.acquire(SparkConfig(metastore=metastore, heap_mib=512), context)
    try:
        (row,) = session.sql(query).collect()
        print(*row)
    finally:
        SESSIONS.release()
