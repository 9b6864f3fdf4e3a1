"""The Flume plugin without an agent: its settings, and what it makes of them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from retaild_plugins.cluster.flume import plugin
from retaild_plugins.cluster.flume.agent import agent_settings
from retaild_plugins.cluster.flume.config import FlumeServiceConfig

from retaild.testing.plugin import check_sample, specs_in

FOLDER = Path(plugin.__file__).parent


def test_the_sample_is_a_valid_configuration() -> None:
    ((kind, spec),) = specs_in(plugin)
    sample = (FOLDER / "sample.toml").read_text("utf-8")
    check_sample(kind, spec, tomllib.loads(sample))
    assert sample in (FOLDER / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    "wrong",
    [{}, {"follow": ["tills/.*"]}, {"follow": ["/tills/"]}, {"follow": ["/tills/(*"]},
     {"follow": ["/my tills/.*"]}],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"follow|is no "):
        FlumeServiceConfig.model_validate({"topic": "t", **wrong})


def test_two_logs_and_a_folder_share_the_channel_on_the_disk() -> None:
    config = FlumeServiceConfig.model_validate(
        {"topic": "t", "follow": ["/a/.*", "/b/x"], "folders": ["/in"], "delete_finished": True}
    )
    client = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN",
              "sasl.username": "u", "sasl.password": "p"}  # fmt: skip
    found = agent_settings(config, Path("/state"), client)
    assert found["retaild.sources"] == "follow folder0"
    assert found["retaild.sources.follow.filegroups"] == "g0 g1"
    assert found["retaild.sources.follow.filegroups.g1"] == "/b/x"
    assert found["retaild.sources.folder0.deletePolicy"] == "immediate"
    assert {found[f"retaild.sources.{name}.channels"] for name in ("follow", "folder0")} == {"disk"}
    assert found["retaild.channels.disk.type"] == "file"
    assert found["retaild.sinks.kafka.channel"] == "disk"
    assert 'password="p"' in str(found["retaild.sinks.kafka.kafka.producer.sasl.jaas.config"])
