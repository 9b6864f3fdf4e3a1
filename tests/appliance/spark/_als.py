"""Trains ALS, then ranks for everybody: `_als.py LAKE SOFTWARE MASTER`; prints how many."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from retaild_plugins.cluster.spark.als.trainer import AlsTrainer
from retaild_plugins.cluster.spark.config import SparkTrainerConfig

from retaild.api import BuildContext, Lake, TrainingContext
from retaild.testing.trainer import TableFeatures

root, software, master = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
lake, work = Lake(root), root.parent / "model"
work.mkdir()
context = BuildContext("als", root.parent / "state", root, threads=2, software_dir=software)
config = SparkTrainerConfig(
    master=master, heap_mib=512, executor_mib=512, rank=8, iterations=5, holdout_weeks=2
)
trainer = AlsTrainer(config, context)
trainer.train(TrainingContext(lake, TableFeatures(lake), work))
now = datetime(2024, 6, 1, tzinfo=UTC).timestamp()
print(sum(1 for _ in trainer.score_all(work, lake, 5, now)))
