"""The local provider: the conformance suite, and what is its own."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from retaild_plugins.identities.local.config import LocalConfig
from retaild_plugins.identities.local.errors import WeakPasswordError
from retaild_plugins.identities.local.provider import LocalIdentity

from retaild.testing.identity import PASSWORD, PasswordConformance

CHEAP = LocalConfig(memory_mib=19, passes=2)


class TestLocalIdentity(PasswordConformance):
    @pytest.fixture
    def provider(self, tmp_path: Path) -> Any:
        return LocalIdentity(CHEAP, tmp_path / "users")


@pytest.mark.parametrize(
    "password", ["short one", "administrator", "administrator1", "aaaaaaaaaaaa", "x" * 300,
                 "1234567890", "rotartsinimda"],
)  # fmt: skip
def test_weak_passwords_are_refused(tmp_path: Path, password: str) -> None:
    provider = LocalIdentity(CHEAP, tmp_path)
    provider.open()
    with pytest.raises(WeakPasswordError):
        provider.add_user("administrator", password, frozenset({"viewer"}))
    provider.close()


def test_a_hash_is_made_anew_when_its_cost_grows(tmp_path: Path) -> None:
    cheap = LocalIdentity(CHEAP, tmp_path)
    cheap.open()
    cheap.add_user("ann", PASSWORD, frozenset({"admin"}))
    before = cheap._store.find("ann")
    cheap.close()
    dear = LocalIdentity(LocalConfig(memory_mib=24, passes=3), tmp_path)
    dear.open()
    assert dear.login("ann", PASSWORD) is not None
    after = dear._store.find("ann")
    assert before is not None
    assert after is not None
    assert before["hash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert after["hash"].startswith("$argon2id$v=19$m=24576,t=3,p=1$")
    assert dear.login("ann", PASSWORD) is not None
    dear.close()


def test_only_the_owner_reads_the_file(tmp_path: Path) -> None:
    provider = LocalIdentity(CHEAP, tmp_path / "users")
    provider.open()
    provider.add_user("ann", PASSWORD, frozenset({"admin"}))
    for path in (tmp_path / "users").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    provider.close()
