"""Reading, merging and validating the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from retaild.config.faults import ConfigFaultsError
from retaild.config.locate import locate_config, locate_data_dir
from retaild.config.sections import JobSection, PluginInstance
from retaild.config.settings import Settings, load_settings


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write(tmp_path / "retaild.toml", "")


def test_an_empty_file_is_enough(config: Path) -> None:
    settings = load_settings(config, environment={})
    assert settings.api.port == 8470
    assert settings.api.host == "127.0.0.1"
    assert settings.retaild.data_dir == config.parent / "retaild-data"
    assert settings.bus.plugin == "embedded"
    assert sorted(settings.trainer) == ["price", "recommender"]
    assert sorted(settings.job) == ["compact", "materialize", "quality", "refresh", "trim"]


def test_no_file_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RETAILD_CONFIG", raising=False)
    if locate_config() is not None:
        pytest.skip("this machine has an /etc/retaild/retaild.toml")
    assert load_settings(environment={}).retaild.data_dir == tmp_path / "retaild-data"


def test_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigFaultsError) as raised:
        load_settings(tmp_path / "none.toml", environment={})
    assert "no such file" in str(raised.value)
    assert "retaildctl init" in str(raised.value)


def test_later_wins_file_then_conf_d_then_environment_then_option(config: Path) -> None:
    write(config, '[api]\nport = 1001\nqueue = 11\n[retaild]\ncurrency = "EUR"\nstore = "a"\n')
    write(config.parent / "conf.d" / "10.toml", "[api]\nport = 1002\nqueue = 12\n")
    write(config.parent / "conf.d" / "20.toml", "[api]\nport = 1003\n")
    environment = {"RETAILD__API__PORT": "1004", "RETAILD__RETAILD__STORE": "7"}
    settings = load_settings(config, Path("/elsewhere"), environment)
    assert (settings.api.port, settings.api.queue) == (1004, 12)
    assert (settings.retaild.currency, settings.retaild.store) == ("EUR", "7")
    assert settings.retaild.data_dir == Path("/elsewhere")


def test_environment_reaches_plugins_and_lists(config: Path) -> None:
    settings = load_settings(
        config,
        environment={
            "RETAILD__SOURCE__TILLS__PLUGIN": "tabular",
            "RETAILD__SOURCE__TILLS__PATH": "exports",
            "RETAILD__RECOMMENDATIONS__EXCLUDED_PRODUCTS": '["A", "B"]',
            "OTHER": "x",
        },
    )
    assert settings.source["tills"].plugin == "tabular"
    assert settings.source["tills"].settings == {"path": "exports"}
    assert settings.recommendations.excluded_products == ("A", "B")


def test_an_instance_is_named_after_its_plugin(config: Path) -> None:
    write(config, "[source.tabular]\npath = 'x'\n[job.gold]\nevery_seconds = 60\n")
    settings = load_settings(config, environment={})
    assert settings.source["tabular"].plugin == "tabular"
    assert settings.job["gold"].kind == "gold"


def test_a_disabled_instance_is_not_there(config: Path) -> None:
    write(config, "[trainer.price]\nenabled = false\n")
    assert list(load_settings(config, environment={}).trainer) == ["recommender"]


def test_a_stated_schedule_replaces_the_default_one(config: Path) -> None:
    write(config, "[job.refresh]\nevery_seconds = 3600\n[job.compact]\nenabled = false\n")
    jobs = load_settings(config, environment={}).job
    assert (jobs["refresh"].cron, jobs["refresh"].every_seconds) == (None, 3600)
    assert (jobs["compact"].every_seconds, jobs["compact"].enabled) == (3600, False)


def test_settings_can_be_made_in_code() -> None:
    settings = Settings(
        source={"x": PluginInstance(plugin="tabular", settings={"path": "p"})},
        job={"y": JobSection(kind="gold")},
    )
    assert settings.source["x"].settings == {"path": "p"}
    assert [kind for kind, _, _ in settings.instances()][:4] == [
        "bus", "stream", "batch", "features",
    ]  # fmt: skip


def test_settings_cannot_be_changed(config: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings(config, environment={}).api.port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "retaild-data"),
        ('[retaild]\ndata_dir = "here"\n', "here"),
        ('[retaild]\ndata_dir = "/abs/olute"\n', "/abs/olute"),
        ("[retaild]\ndata_dir = 5\n", "retaild-data"),
        ("retaild = 5\n", "retaild-data"),
        ("not toml", "retaild-data"),
    ],
)
def test_the_light_way_finds_the_same_directory(
    config: Path, text: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RETAILD__RETAILD__DATA_DIR", raising=False)
    write(config, text)
    assert locate_data_dir(config) == config.parent / expected
    try:
        loaded = load_settings(config, environment={})
    except ConfigFaultsError:
        return
    assert loaded.retaild.data_dir == config.parent / expected


def test_the_light_way_heeds_conf_d_environment_and_option(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(config, '[retaild]\ndata_dir = "a"\n')
    write(config.parent / "conf.d" / "1.toml", '[retaild]\ndata_dir = "b"\n')
    assert locate_data_dir(config) == config.parent / "b"
    monkeypatch.setenv("RETAILD__RETAILD__DATA_DIR", "/from/environment")
    assert locate_data_dir(config) == Path("/from/environment")
    assert load_settings(config).retaild.data_dir == Path("/from/environment")
    assert locate_data_dir(config, Path("/from/option")) == Path("/from/option")


@pytest.mark.parametrize("text", ["* * * * *", "30 3 * * *", "*/5 0-6 1,15 * mon-fri", "0 0 * * 7"])
def test_crontab_lines(text: str) -> None:
    assert JobSection(kind="x", cron=text).cron == text


@pytest.mark.parametrize(
    "text", ["", "* * * *", "60 * * * *", "* * 0 * *", "x * * * *", "1- * * * *"]
)
def test_wrong_crontab_lines(text: str) -> None:
    with pytest.raises(ValueError, match="crontab"):
        JobSection(kind="x", cron=text)
