"""The artifact on disk: what a version of the recommender consists of.

model.json (settings, moments), ranker.txt (LightGBM's text model), and two sets of statistics:
`serving` (from all sales) answers customers, `evaluated` (from before the holdout) is what the
metrics were measured with and what a later split may fairly judge.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from retaild.api import RetaildError
from retaild_plugins.trainers.recommender.evidence import FEATURES, Settings
from retaild_plugins.trainers.recommender.ranker import Ranker
from retaild_plugins.trainers.recommender.statistics import Statistics

FORMAT = 1


class ArtifactError(RetaildError):
    """The artifact is not one of this plugin's, or of another format."""

    key = "recommender.artifact"

    def __init__(self, folder: Path, what: str) -> None:
        super().__init__(
            f"The model in {folder} cannot be used: {what}.",
            hint="Train a new version: `retaildctl job run train --argument trainer=recommender`.",
        )


@dataclass(frozen=True, slots=True)
class Artifact:
    """A folder as described above. Moments in seconds since the epoch (UTC)."""

    folder: Path
    settings: Settings
    serving_until: float
    evaluated_until: float

    def write(self, serving: Statistics, evaluated: Statistics) -> None:
        """Add the statistics and model.json to the folder that holds ranker.txt."""
        serving.save(self.folder / "serving")
        evaluated.save(self.folder / "evaluated")
        about = {
            "format": FORMAT,
            "features": FEATURES,
            "settings": asdict(self.settings),
            "serving_until": self.serving_until,
            "evaluated_until": self.evaluated_until,
        }
        (self.folder / "model.json").write_text(json.dumps(about, indent=1), "utf-8")

    @classmethod
    def read(cls, folder: Path) -> Artifact:
        try:
            about = json.loads((folder / "model.json").read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ArtifactError(folder, f"model.json is unreadable ({error})") from error
        if about.get("format") != FORMAT or tuple(about["features"]) != FEATURES:
            raise ArtifactError(folder, "it was written by another version of the recommender")
        return cls(
            folder, Settings(**about["settings"]), about["serving_until"], about["evaluated_until"]
        )

    def statistics(self, name: str) -> Statistics:
        """`serving` or `evaluated`."""
        return Statistics.read(self.folder / name)

    def ranker(self) -> Ranker:
        return Ranker(self.folder / "ranker.txt", len(FEATURES))
