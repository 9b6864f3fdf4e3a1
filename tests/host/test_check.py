"""`check`: every fault at once, each on its line."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from retaild.config.documents import Document
from retaild.config.faults import Fault
from retaild.config.settings import load_settings
from retaild.host.check import check, check_port, check_steps, required_steps

#: (configuration, line of the fault, part of the sentence, part of the hint)
BAD = [
    ("[api\n", 1, "Not valid TOML", ""),
    ("[api]\nport = \n", 2, "Not valid TOML", ""),
    ("[api]\nport = 1\nport = 2\n", 3, "Not valid TOML", ""),
    ("\n[apy]\n", 2, "There is no section [apy]", "Did you mean 'api'?"),
    ("[api]\nhost = '127.0.0.1'\nprot = 1\n", 3, "no setting 'prot'", "Did you mean 'port'?"),
    ("[api]\n\nport = 'many'\n", 3, "api.port is 'many', but must be a whole number", "TCP port"),
    ("api.port = 0\n", 1, "must be greater than or equal to 1", ""),
    ("[api]\nhost = '0.0.0.0'\n", 1, "can be reached from other machines", ""),
    ("[api]\nhost = 'shop.example'\n", 2, "is no IP address", "sign in"),
    ("[api]\ntls_key = 'key.pem'\n", 1, "both tls_certificate and tls_key", ""),
    ("[retaild]\ntimezone = 'Europe/Lodon'\n", 2, "no time zone 'Europe/Lodon'", ""),
    ("[retaild]\ncurrency = 'Pounds'\n", 2, "should match pattern", "ISO 4217"),
    ("[lake]\ninterval_seconds = true\nlog_hours = []\n", 3, "must be a whole number", ""),
    ("[recommendations]\nexcluded_products = [\n  'a',\n  5,\n]\n", 4, "must be text", ""),
    ("[job.train]\ncron = '61 * * * *'\n", 2, "'61' is not a crontab field", "Crontab"),
    ("[job.x]\ncron = '* * * * *'\nevery_seconds = 60\n", 1, "not both", ""),
    ("[source.a]\nplugin = 'tabluar'\n", 2, "no source plugin 'tabluar'", "mean 'tabular'?"),
    ("[source.a]\nplugin = 'tabular'\n", 1, "needs the setting 'path'", "A file, or a folder"),
    ("[source.a]\nplugin = 'tabular'\npath = '.'\npatern = '*'\n", 4, "'patern'", "'pattern'"),
    ("[source.a]\nplugin='tabular'\npath='.'\ncolumns = { when = 5 }\n", 4, "must be text", ""),
    (
        "[source.a]\nplugin='tabular'\npath='.'\n[source.a.columns]\nquantity='Q'\nx='Y'\n",
        6,
        "'x'",
        "",
    ),
    ("[source.a]\nstartup = 'x'\n", 2, "must be 'error', 'retry' or 'ignore'", "opened"),
    ("source = 5\n", 1, "must be a table", ""),
    ("[stream]\n\nbatch_rows = 0\n", 3, "greater than or equal to 1", "Rows"),
    ("[retaild]\ndata_dir = '/dev/null/x'\n", 2, "is a file", "Name a directory"),
]


def faults_of(tmp_path: Path, text: str) -> list[Fault]:
    config = tmp_path / "retaild.toml"
    config.write_text(text, "utf-8")
    found = check(config, environment={}, listening=True)
    return [fault for fault in found if fault.severity == "error"]


@pytest.mark.parametrize(("text", "line", "message", "hint"), BAD)
def test_fault_and_line(tmp_path: Path, text: str, line: int, message: str, hint: str) -> None:
    found = [
        fault
        for fault in faults_of(tmp_path, text)
        if fault.line == line and message in fault.message and hint in fault.hint
    ]
    assert found, faults_of(tmp_path, text)
    assert found[0].file == str(tmp_path / "retaild.toml")


def test_all_at_once_in_the_order_of_the_files(tmp_path: Path) -> None:
    """Host settings, plugins' settings, several files, the environment: nothing hides another."""
    config = tmp_path / "retaild.toml"
    config.write_text(
        "[api]\nport = 0\n[source.a]\nplugin = 'tabular'\nfamily = 'sales'\n", "utf-8"
    )
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "1.toml").write_text("[broken\n", "utf-8")
    (tmp_path / "conf.d" / "2.toml").write_text("[lake]\nlog_hours = 0\n", "utf-8")
    found = check(config, environment={"RETAILD__API__QUEUE": "x"}, listening=True)
    places = [(Path(fault.file).name, fault.line, fault.path) for fault in found]
    assert places == [
        ("1.toml", 1, ""),
        ("2.toml", 2, "lake.log_hours"),
        ("retaild.toml", 2, "api.port"),
        ("retaild.toml", 3, "source.a.path"),
        ("retaild.toml", 5, "source.a.family"),
        ("environment RETAILD__API__QUEUE", 0, "api.queue"),
    ]


def test_a_faultless_configuration(tmp_path: Path) -> None:
    assert faults_of(tmp_path, "") == []


def test_a_missing_folder_is_only_a_warning(tmp_path: Path) -> None:
    config = tmp_path / "retaild.toml"
    config.write_text("[source.a]\nplugin = 'tabular'\npath = 'later'\n", "utf-8")
    (fault,) = [f for f in check(config, environment={}, listening=True) if f.path]
    assert (fault.severity, fault.line) == ("warning", 3)
    assert f"{tmp_path / 'later'} does not exist" in fault.message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_folder_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0)
    text = "[source.a]\nplugin = 'tabular'\npath = 'locked'\n"
    assert "may not be read" in faults_of(tmp_path, text)[0].message


def test_a_taken_port(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = tmp_path / "retaild.toml"
        config.write_text(f"[api]\nport = {port}\n", "utf-8")
        (fault,) = check_port(load_settings(config, environment={}))
        assert f"Port {port} of 127.0.0.1 cannot be used: address already in use" in fault.message
    assert check_port(load_settings(config, environment={})) == []


def test_a_stream_processor_must_know_every_step() -> None:
    assert check_steps("x", required_steps(), ("stream", "plugin"), Document()) == []
    (fault,) = check_steps(
        "weak", required_steps() - {"Window", "Dedup"}, ("stream", "plugin"), Document()
    )
    assert "'weak' cannot do the steps Dedup, Window" in fault.message


def test_a_secret_is_not_repeated(tmp_path: Path) -> None:
    """Not even in complaints about it."""
    from pydantic import SecretStr, ValidationError

    from retaild.api import Config
    from retaild.config.explain import explain

    class Model(Config):
        password: SecretStr
        port: int

    document = Document(places={("bus", "password"): ("f", 1), ("bus", "port"): ("f", 2)})
    try:
        Model.model_validate({"password": 12345678, "port": "x"})
    except ValidationError as error:
        faults = explain(error, Model, document, ("bus",))
    assert [fault.line for fault in faults] == [1, 2]
    assert "12345678" not in str(faults)
