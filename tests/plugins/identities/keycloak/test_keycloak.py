"""What needs no server: settings, the keys' cache, a server that is not there."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import retaild_plugins.identities.keycloak as package
from jwcrypto.jwk import JWK
from pydantic import ValidationError
from retaild_plugins.identities.keycloak import plugin
from retaild_plugins.identities.keycloak.config import KeycloakConfig
from retaild_plugins.identities.keycloak.keys import KeyRing
from retaild_plugins.identities.keycloak.provider import KeycloakProvider

from retaild.api import TransientError
from retaild.testing.plugin import check_sample, specs_in

FOLDER = Path(package.__file__).parent


def config(**settings: Any) -> KeycloakConfig:
    return KeycloakConfig.model_validate(
        {"server_url": "https://sso.example.com", "realm": "store", **settings}
    )


def test_the_sample_is_valid_and_in_the_readme() -> None:
    ((kind, spec),) = specs_in(plugin)
    sample = (FOLDER / "sample.toml").read_text("utf-8")
    check_sample(kind, spec, tomllib.loads(sample))
    assert sample in (FOLDER / "README.md").read_text("utf-8")


def test_listing_the_plugin_needs_no_client_library() -> None:
    code = f"import {plugin.__name__}, sys; sys.exit('keycloak' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "url", ["https://sso.example.com/", "http://127.0.0.1:8080", "http://[::1]/a"]
)
def test_addresses_that_protect_what_they_carry(url: str) -> None:
    assert config(server_url=url).server_url == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    ["http://sso.example.com", "http://10.0.0.1", "sso.example.com", "https://a:b@sso.example.com",
     "https://sso.example.com/?x", "http://127.0.0.1.example.com"],
)  # fmt: skip
def test_addresses_that_do_not(url: str) -> None:
    with pytest.raises(ValidationError):
        config(server_url=url)


def test_the_issuer_is_the_public_address() -> None:
    behind = config(server_url="http://127.0.0.1:8080", public_url="https://sso.example.com/auth/")
    assert behind.issuer == "https://sso.example.com/auth/realms/store"


def test_one_realm_role_cannot_mean_two_things() -> None:
    with pytest.raises(ValidationError, match="three different"):
        config(roles={"viewer": "staff", "operator": "staff"})


def test_a_server_that_is_not_there_may_come_later() -> None:
    provider = KeycloakProvider(config(server_url="http://127.0.0.1:9", timeout=1))
    with pytest.raises(TransientError, match="does not answer"):
        provider.open()
    provider.close()
    provider.close()


class Realm:
    """The keys that a realm publishes, and how often it was asked."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = []
        self.asked = 0
        self.down = False
        self.now = 1000.0
        self.ring = KeyRing(self.fetch, max_age=300, min_pause=10, clock=lambda: self.now)

    def fetch(self) -> list[dict[str, Any]]:
        self.asked += 1
        if self.down:
            raise TransientError("down")
        return self.keys

    def add(self, kid: str, **words: Any) -> None:
        key = JWK.generate(kty="RSA", size=2048, kid=kid).export_public(as_dict=True)
        self.keys.append({**key, "use": "sig", "alg": "RS256", **words})


@pytest.fixture
def realm() -> Realm:
    realm = Realm()
    realm.add("one")
    assert realm.ring.find("one", "RS256") is not None
    return realm


def test_a_known_key_is_not_asked_for_again(realm: Realm) -> None:
    realm.now += 299
    assert realm.ring.find("one", "RS256") is not None
    assert realm.asked == 1


def test_an_unknown_key_is_looked_up_at_once(realm: Realm) -> None:
    realm.now += 10
    realm.add("two")
    assert realm.ring.find("two", "RS256") is not None
    assert realm.asked == 2


def test_made_up_keys_do_not_flood_the_server(realm: Realm) -> None:
    realm.now += 10
    for number in range(1000):
        assert realm.ring.find(f"made-up-{number}", "RS256") is None
    assert realm.asked == 2


def test_keys_that_are_too_old_are_not_trusted(realm: Realm) -> None:
    realm.now += 300
    realm.down = True
    with pytest.raises(TransientError):
        realm.ring.find("one", "RS256")
    with pytest.raises(TransientError, match="again soon"):
        realm.ring.find("one", "RS256")
    assert realm.asked == 2  # many waiting programs ask once
    realm.down, realm.now = False, realm.now + 10
    assert realm.ring.find("one", "RS256") is not None


@pytest.mark.parametrize("words", [{"use": "enc"}, {"alg": "RS512"}, {"kty": "oct"}, {"n": "!"}])
def test_keys_that_may_not_sign_are_left_out(realm: Realm, words: dict[str, str]) -> None:
    realm.now += 10
    realm.add("two", **words)
    assert realm.ring.find("two", "RS256") is None
    assert realm.ring.find("one", "RS256") is not None


def test_a_key_signs_by_its_own_algorithm_alone(realm: Realm) -> None:
    assert realm.ring.find("one", "ES256") is None
    assert realm.ring.find("one", "HS256") is None
