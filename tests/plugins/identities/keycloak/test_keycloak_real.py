"""The plugin against a real Keycloak."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Iterator
from itertools import pairwise

import httpx
import pytest
from keycloak import KeycloakOpenID
from retaild_plugins.identities.keycloak.errors import (
    ClientRefusedError,
    IssuerError,
    UnknownRealmError,
)
from retaild_plugins.identities.keycloak.provider import KeycloakProvider
from retaild_plugins.identities.keycloak.server import KeycloakServer

from retaild.api import Identity
from tests.plugins.identities.keycloak.realm import (
    BACK,
    PASSWORD,
    SECRET,
    Browser,
    Login,
    Realm,
    forged,
    packed,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def browser() -> Iterator[Browser]:
    with httpx.Client(timeout=60) as http:
        http.event_hooks["response"].append(lambda _: _send_to_loopback(http))
        yield Browser(http)


def _send_to_loopback(http: httpx.Client) -> None:
    """Keycloak's cookies are `Secure`; browsers send those to loopback by plain HTTP too."""
    for cookie in http.cookies.jar:
        cookie.secure = False


def logged_in(
    realm: Realm, browser: Browser, user: str = "ann"
) -> tuple[KeycloakProvider, Identity]:
    provider, attempt = realm.provider(), Login.fresh()
    code = browser.login(provider, attempt, user)
    identity = provider.finish(BACK, code, attempt.nonce, attempt.verifier)
    assert identity is not None
    return provider, identity


@pytest.mark.parametrize(
    ("user", "roles"), [("ann", {"operator"}), ("vic", {"viewer"}), ("joe", set())]
)
def test_login_by_keycloak_s_page_gives_the_person_and_their_roles(
    realm: Realm, browser: Browser, user: str, roles: set[str]
) -> None:
    _, identity = logged_in(realm, browser, user)
    assert identity.subject == realm.admin.get_user_id(user)
    assert identity.name == user
    assert identity.roles == roles
    # Keycloak's session rests for 30 minutes unless the realm says otherwise.
    assert identity.expires is not None
    assert 1700 < identity.expires - time.time() <= 1800


def test_a_code_is_good_once(realm: Realm, browser: Browser) -> None:
    provider, attempt = realm.provider(), Login.fresh()
    code = browser.login(provider, attempt, "ann")
    assert provider.finish(BACK, code, attempt.nonce, attempt.verifier) is not None
    assert provider.finish(BACK, code, attempt.nonce, attempt.verifier) is None


@pytest.mark.parametrize("wrong", ["verifier", "nonce", "code", "redirect_uri"])
def test_a_code_is_good_for_the_browser_that_asked_alone(
    realm: Realm, browser: Browser, wrong: str
) -> None:
    provider, attempt = realm.provider(), Login.fresh()
    given = {
        "redirect_uri": BACK,
        "code": browser.login(provider, attempt, "ann"),
        "nonce": attempt.nonce,
        "verifier": attempt.verifier,
    }
    other = Login.fresh()
    given[wrong] = BACK + "/x" if wrong == "redirect_uri" else other.verifier
    assert provider.finish(**given) is None


def test_a_challenge_is_asked_for(realm: Realm) -> None:
    """The client's PKCE setting: a request without a challenge never gets to the form."""
    provider, attempt = realm.provider(), Login.fresh()
    address = provider.begin(BACK, attempt.state, attempt.nonce, attempt.challenge)
    without = httpx.get(address.split("&code_challenge=")[0])
    assert "Missing+parameter" in without.headers["location"]


def test_a_wrong_client_secret_is_told_apart_from_a_wrong_code(
    realm: Realm, browser: Browser
) -> None:
    provider, attempt = realm.provider(client_secret="wrong"), Login.fresh()
    code = browser.login(provider, attempt, "ann")
    with pytest.raises(ClientRefusedError, match="client_secret"):
        provider.finish(BACK, code, attempt.nonce, attempt.verifier)


def test_logout_ends_keycloak_s_session_and_comes_back(own_realm: Realm, browser: Browser) -> None:
    provider, identity = logged_in(own_realm, browser)
    assert own_realm.sessions("ann") == 1
    address = provider.logout(identity.session, "http://127.0.0.1:8470/")
    assert own_realm.sessions("ann") == 0
    assert address is not None
    answer = browser.http.get(address)
    assert answer.status_code == 302
    assert answer.headers["location"] == "http://127.0.0.1:8470/"
    with pytest.raises(Exception, match="invalid_grant"):
        KeycloakOpenID(own_realm.server + "/", own_realm.name, "retaild", SECRET).refresh_token(
            identity.session["refresh_token"]
        )
    # The browser is asked for the password again.
    attempt = Login.fresh()
    page = browser.http.get(provider.begin(BACK, attempt.state, attempt.nonce, attempt.challenge))
    assert page.status_code == 200
    assert 'type="password"' in page.text


def test_a_second_logout_harms_nobody(realm: Realm, browser: Browser) -> None:
    provider, identity = logged_in(realm, browser)
    provider.logout(identity.session, BACK)
    assert provider.logout(identity.session, BACK) is not None


def test_a_program_s_token_is_its_owner(realm: Realm) -> None:
    identity = realm.provider().bearer(realm.token("ann"))
    assert identity is not None
    assert identity.subject == realm.admin.get_user_id("ann")
    assert (identity.name, identity.roles) == ("ann", {"operator"})
    # Keycloak's access tokens live five minutes unless the realm says otherwise.
    assert identity.expires is not None
    assert 200 < identity.expires - time.time() <= 300


def test_a_token_for_another_audience_is_refused(realm: Realm) -> None:
    token = realm.token("ann", client="elsewhere")
    assert realm.provider().bearer(token) is None
    assert realm.provider(audience="another-api").bearer(token) is not None


def test_only_listed_clients_where_a_list_is_given(realm: Realm) -> None:
    token = realm.token("ann")
    assert realm.provider(clients=("scanner",)).bearer(token) is None
    assert realm.provider(clients=("scanner", "stocktaker")).bearer(token) is not None


def test_a_token_is_refused_after_its_end(own_realm: Realm) -> None:
    own_realm.admin.update_realm(own_realm.name, {"accessTokenLifespan": 2})
    provider, token = own_realm.provider(leeway=0), own_realm.token("ann")
    assert provider.bearer(token) is not None
    time.sleep(3)
    assert provider.bearer(token) is None
    assert own_realm.provider(leeway=60).bearer(token) is not None


def test_a_token_of_another_realm_is_refused(realm: Realm, keycloak: str) -> None:
    other = Realm.create(keycloak, realm.name + "-other")
    try:
        assert realm.provider().bearer(other.token("ann")) is None
    finally:
        other.remove()


def test_only_access_tokens_count(realm: Realm) -> None:
    client = KeycloakOpenID(realm.server + "/", realm.name, "stocktaker", SECRET)
    answer = client.token("ann", PASSWORD, scope="openid")
    provider = realm.provider(audience="stocktaker")
    assert provider.bearer(answer["id_token"]) is None
    assert provider.bearer(answer["refresh_token"]) is None


def test_forged_tokens_are_refused(realm: Realm) -> None:
    provider, token = realm.provider(), realm.token("vic")
    head, body, signature = token.split(".")
    other = realm.token("ann")
    tampered = forged(token, realm_access={"roles": ["retaild-admin"]})
    unsigned = forged(token, header={"alg": "none"}).rsplit(".", 1)[0] + "."
    for wrong in (
        tampered,
        unsigned,
        f"{head}.{body}.",
        f"{head}.{body}",
        f"{head}.{body}.{other.split('.')[2]}",
        f"{head}.{body}.{signature[:-8]}AAAAAAAA",
        forged(token, header={"kid": "made-up"}),
        "",
        "a.b.c",
        "x" * 100_000,
    ):
        assert provider.bearer(wrong) is None
    assert provider.bearer(token) is not None


def test_the_public_key_is_no_secret_to_sign_with(realm: Realm) -> None:
    """RFC 8725, 2.1: HS256 with the realm's public key as the secret."""
    provider, token = realm.provider(), realm.token("vic")
    public = KeycloakOpenID(realm.server + "/", realm.name, "retaild", SECRET).public_key()
    kid = packed_header(token)["kid"]
    pem = f"-----BEGIN PUBLIC KEY-----\n{public}\n-----END PUBLIC KEY-----\n"
    for secret in (public.encode(), pem.encode(), pem.strip().encode()):
        unsigned = f"{packed({'alg': 'HS256', 'typ': 'JWT', 'kid': kid})}.{token.split('.')[1]}"
        digest = hmac.digest(secret, unsigned.encode(), "sha256")
        assert provider.bearer(f"{unsigned}.{base64url(digest)}") is None


def test_a_rotated_key_needs_no_restart_and_a_removed_one_is_trusted_no_more(
    own_realm: Realm,
) -> None:
    provider = own_realm.provider(keys_seconds=3600, retry_keys_seconds=0.1)
    before = own_realm.token("ann")
    assert provider.bearer(before) is not None
    old = own_realm.rotate()
    after = own_realm.token("ann")
    assert packed_header(after)["kid"] != packed_header(before)["kid"]
    time.sleep(0.2)
    assert provider.bearer(after) is not None
    assert provider.bearer(before) is not None  # the own_realm still publishes its key
    own_realm.admin.delete_component(old)
    aged = own_realm.provider()
    assert aged.bearer(before) is None
    assert aged.bearer(after) is not None


def test_a_removed_key_is_forgotten_after_keys_seconds(own_realm: Realm) -> None:
    provider, token = own_realm.provider(keys_seconds=1), own_realm.token("ann")
    assert provider.bearer(token) is not None
    old = own_realm.rotate()
    own_realm.admin.delete_component(old)
    time.sleep(1.1)
    assert provider.bearer(token) is None


def test_made_up_keys_do_not_flood_keycloak_and_a_new_one_is_found(
    own_realm: Realm, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    keys = KeycloakServer.keys

    def counted(server: KeycloakServer) -> list[dict[str, object]]:
        asked.append(time.monotonic())
        return keys(server)

    monkeypatch.setattr(KeycloakServer, "keys", counted)
    provider, token = own_realm.provider(retry_keys_seconds=3), own_realm.token("ann")
    assert provider.bearer(token) is not None
    assert len(asked) == 1
    own_realm.rotate()
    newer = own_realm.token("ann")
    began, made_up = time.monotonic(), 0
    while provider.bearer(newer) is None:
        assert provider.bearer(forged(token, header={"kid": f"made-up-{made_up}"})) is None
        made_up += 1
        assert time.monotonic() - began < 30, "the new key is not found"
        time.sleep(0.01)
    # Whoever asks, and however often: once in three seconds.
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert made_up > 10
    assert len(asked) >= 2
    assert min(pauses) >= 3


def test_roles_come_by_groups_and_by_the_names_that_are_configured(own_realm: Realm) -> None:
    admin = own_realm.admin
    admin.create_realm_role({"name": "boss"})
    group = admin.create_group({"name": "head-office"})
    admin.assign_group_realm_roles(group, [admin.get_realm_role("boss")])
    admin.group_user_add(admin.get_user_id("joe"), group)
    token = own_realm.token("joe")

    def roles(**names: str) -> object:
        identity = own_realm.provider(roles=names).bearer(token)
        assert identity is not None
        return identity.roles

    assert roles() == set()
    assert roles(admin="boss") == {"admin"}
    assert roles(viewer="boss") == {"viewer"}
    assert roles(admin="Boss") == set()


def test_elliptic_curves_too(own_realm: Realm) -> None:
    realm_id = own_realm.admin.get_realm(own_realm.name)["id"]
    own_realm.admin.create_component(
        {
            "name": "curve", "providerId": "ecdsa-generated", "parentId": realm_id,
            "providerType": "org.keycloak.keys.KeyProvider",
            "config": {"priority": ["300"], "ecdsaEllipticCurveKey": ["P-256"]},
        }
    )  # fmt: skip
    own_realm.admin.update_realm(own_realm.name, {"defaultSignatureAlgorithm": "ES256"})
    token = own_realm.token("ann")
    assert packed_header(token)["alg"] == "ES256"
    assert own_realm.provider().bearer(token) is not None


def test_wrong_settings_are_named(realm: Realm) -> None:
    with pytest.raises(UnknownRealmError, match="nowhere"):
        realm.provider(realm="nowhere")
    with pytest.raises(IssuerError, match="public_url"):
        realm.provider(public_url="https://sso.example.com")
    KeycloakProvider(realm.config()).check()


def packed_header(token: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    return found


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
