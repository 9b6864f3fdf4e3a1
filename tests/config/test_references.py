"""Secrets by reference, and relative paths."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field, SecretStr

from retaild.api import Config
from retaild.config.references import SecretError, resolve


class Inner(Config):
    token: SecretStr | None = None


class Model(Config):
    password: SecretStr
    folder: Path = Path("x")
    extra: tuple[Path, ...] = ()
    inner: Inner = Inner()
    named: dict[str, Inner] = Field(default={})


def test_a_secret_is_read_from_a_file_and_never_printed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    model = Model.model_validate(resolve(Model, {"password": {"file": "secret"}}, tmp_path))
    assert model.password.get_secret_value() == "s3cret"
    assert "s3cret" not in f"{model!r} {model}"


def test_nested_secrets_and_paths(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("tok")
    values = {
        "password": {"file": "t"},
        "folder": "exports",
        "extra": ["a", "/b"],
        "inner": {"token": {"file": str(tmp_path / "t")}},
        "named": {"one": {"token": {"file": "t"}}},
    }
    model = Model.model_validate(resolve(Model, values, tmp_path))
    assert model.folder == tmp_path / "exports"
    assert model.extra == (tmp_path / "a", Path("/b"))
    assert model.inner.token is not None
    assert model.named["one"].token == SecretStr("tok")


def test_a_systemd_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pw").write_text("from systemd")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    values = resolve(Model, {"password": {"credential": "pw"}}, Path("/"))
    assert values["password"].get_secret_value() == "from systemd"


def test_a_secret_in_the_file_itself_is_refused_without_repeating_it(tmp_path: Path) -> None:
    with pytest.raises(SecretError) as raised:
        resolve(Model, {"password": "hunter2"}, tmp_path)
    assert "may not stand in the configuration" in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_a_missing_secret_says_where_it_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SecretError, match="cannot be read from"):
        resolve(Model, {"password": {"file": "gone"}}, tmp_path)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(SecretError, match="systemd passed none"):
        resolve(Model, {"password": {"credential": "pw"}}, tmp_path)
