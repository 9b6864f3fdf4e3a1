"""Signing in and out as a browser does it: over the real server, its pages and the real socket."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from retaild.api.identity import Identity, IdentityProviderSpec
from retaild.cli.rest_client import call
from retaild.runtime.access import audit
from retaild.runtime.access.identity import SOCKET
from retaild.runtime.access.keys import ApiKeys
from tests.rest.door import CLOSED, IdentityThread, browser, closed_server, field, sign_in
from tests.rest.serving import InThread


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InThread]:
    with closed_server(tmp_path_factory.mktemp("login")) as running:
        yield running


def test_one_is_led_to_the_login_and_back(server: InThread) -> None:
    with browser(server) as client:
        asked = client.get("/admin/jobs?job=gold")
        assert asked.status_code == 303
        onward = parse_qs(urlsplit(asked.headers["location"]).query)["next"][0]
        entered = sign_in(client, "vera", onward=onward)
        assert entered.headers["location"] == "/admin/jobs?job=gold"
        cookie = next(c for c in entered.headers.get_list("set-cookie") if "_session" in c)
        assert "HttpOnly" in cookie
        assert "samesite=lax" in cookie.lower()
        page = client.get("/admin/jobs")
        assert page.status_code == 200
        left = client.post("/logout", data={"csrf": field(page.text, "csrf")})
        assert left.headers["location"] == "/login?done=signed-out"
        assert client.get("/admin/jobs").status_code == 303


@pytest.mark.parametrize("onward", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_one_is_led_nowhere_else(server: InThread, onward: str) -> None:
    with browser(server) as client:
        assert sign_in(client, "vera", onward=onward).headers["location"] == "/recommendations"


def test_a_stolen_cookie_is_worthless_after_logout_and_new_at_login(server: InThread) -> None:
    with browser(server) as client, browser(server) as thief:
        sign_in(client, "vera")
        first = client.cookies["retaild_session"]
        thief.cookies.set("retaild_session", first)
        assert thief.get("/admin").status_code == 200
        sign_in(client, "vera")
        assert client.cookies["retaild_session"] != first
        assert thief.get("/admin").status_code == 303


def test_a_login_that_this_browser_did_not_begin_is_refused(server: InThread) -> None:
    with browser(server) as client, browser(server) as other:
        form = {"attempt": field(other.get("/login").text, "attempt"), "name": "vera",
                "password": "four violet walruses"}  # fmt: skip
        refused = client.post("/login", data=form)
        assert refused.status_code == 401
        assert "another browser" in refused.text
        assert "retaild_session" not in client.cookies
        foreign = other.post("/login", data=form, headers={"origin": "https://evil.example"})
        assert foreign.status_code == 403


def test_guessing_is_slowed_down(tmp_path: Path) -> None:
    with closed_server(tmp_path, people=["vera"]) as running, browser(running) as client:
        statuses = [sign_in(client, "vera", "a wrong guess").status_code for _ in range(5)]
        assert statuses == [401, 401, 401, 401, 429]
        refused = sign_in(client, "vera")
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"


def test_nothing_is_open_before_the_first_user(tmp_path: Path) -> None:
    with closed_server(tmp_path, people=[]) as running, browser(running) as client:
        assert "retaildctl user add" in client.get("/login").text
        assert client.get("/health/live").status_code == 200
        assert client.get("/health/ready").status_code == 401
        assert client.get("/admin").status_code == 303


def test_a_changed_user_signs_in_again(server: InThread) -> None:
    with browser(server) as olga, browser(server) as ada:
        sign_in(olga, "olga")
        assert olga.get("/admin").status_code == 200
        sign_in(ada, "ada")
        form = {"name": "olga", "action": "password", "password": "ten olive ospreys",
                "csrf": field(ada.get("/admin/access").text, "csrf")}  # fmt: skip
        assert ada.post("/admin/access/users/change", data=form).status_code == 303
        assert olga.get("/admin").status_code == 303
        assert sign_in(olga, "olga").status_code == 401
        assert sign_in(olga, "olga", "ten olive ospreys").status_code == 303


def test_a_page_one_may_not_see_says_so(server: InThread) -> None:
    with browser(server) as client:
        sign_in(client, "vera")
        refused = client.get("/admin/audit")
        assert refused.status_code == 403
        assert "administer" in refused.text
        assert refused.headers["content-type"].startswith("text/html")


class Codes:
    """A provider with the code flow, whose pages are imagined."""

    def open(self) -> None: ...

    def close(self) -> None: ...

    def begin(self, redirect_uri: str, state: str, nonce: str, challenge: str) -> str:
        self.begun = {"redirect_uri": redirect_uri, "nonce": nonce, "challenge": challenge}
        return f"https://identity.example/auth?state={state}"

    def finish(self, redirect_uri: str, code: str, nonce: str, verifier: str) -> Identity | None:
        import base64
        import hashlib

        hashed = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
        fits = self.begun == {"redirect_uri": redirect_uri, "nonce": nonce,
                              "challenge": hashed.rstrip(b"=").decode()}  # fmt: skip
        good = fits and code == "good"
        return Identity("k-1", "kim", frozenset({"viewer"}), {"id_token": "t"}) if good else None

    def logout(self, session: Mapping[str, str], redirect_uri: str) -> str | None:
        return f"https://identity.example/logout?hint={session['id_token']}"

    def bearer(self, token: str) -> Identity | None:
        return Identity("k-2", "robot", frozenset({"viewer"})) if token == "a.b.c" else None


def test_the_code_flow_binds_state_nonce_and_verifier_to_the_browser(tmp_path: Path) -> None:
    spec = IdentityProviderSpec(
        name="codes", summary="", build=lambda *_: None, codes=True, bearer_tokens=True
    )
    server = InThread(tmp_path, CLOSED, pages=True)
    token = ApiKeys(server.context.state).create("probe", ["metrics"], "test", 1)[1]
    server.client.headers["authorization"] = f"Bearer {token}"
    with IdentityThread(server.context.data, Codes(), spec), server:
        with browser(server) as client, browser(server) as other:
            assert "/login/start" in client.get("/login").text
            sent = client.get("/login/start?next=/pricing")
            state = sent.headers["location"].partition("state=")[2]
            back = {"state": state, "code": "good"}
            assert other.get("/login/callback", params=back).status_code == 401
            assert client.get("/login/callback", params={**back, "state": "x"}).status_code == 401
            entered = client.get("/login/callback", params=back)
            assert (entered.status_code, entered.headers["location"]) == (303, "/pricing")
            page = client.get("/admin")
            left = client.post("/logout", data={"csrf": field(page.text, "csrf")})
            assert "https://identity.example/logout?hint=t" in left.text
        asked = httpx.get(f"{server.url}/api/v1/me", headers={"authorization": "Bearer a.b.c"})
        assert asked.json()["who"] == "user robot"
        good = {"authorization": "Bearer a.b.c"}
        assert httpx.get(f"{server.url}/api/v1/status", headers=good).status_code == 200
        bad = {"authorization": "Bearer a.b.d"}
        assert httpx.get(f"{server.url}/api/v1/status", headers=bad).status_code == 401


def test_the_socket_is_its_owners_alone(server: InThread) -> None:
    assert (server.context.data.run / SOCKET).stat().st_mode & 0o777 == 0o600


# -- TLS


def certificate(folder: Path, name: str) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=9))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "tls.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "tls.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )  # fmt: skip


def _served(server: InThread) -> str:
    return ssl.get_server_certificate(("127.0.0.1", server.context.settings.api.port))


def test_tls_cookies_the_command_line_and_a_new_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retaild.rest.tls.LOOK_SECONDS", 0.05)
    certificate(tmp_path, "first")
    files = 'tls_certificate = "tls.crt"\ntls_key = "tls.key"\ntls_minimum = "1.3"\n'
    server = InThread(tmp_path, files + CLOSED, pages=True)
    server.url = server.url.replace("http:", "https:")
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    server.client = httpx.Client(base_url=server.url, verify=trusting)
    token = ApiKeys(server.context.state).create("all", ["metrics", "view"], "test", 1)[1]
    server.client.headers["authorization"] = f"Bearer {token}"
    with IdentityThread(server.context.data) as identity, server:
        identity.provider.add_user("ada", "seven amber alpacas", frozenset({"admin"}))
        with browser(server, verify=trusting) as client:
            entered = sign_in(client, "ada")
            cookie = next(c for c in entered.headers.get_list("set-cookie") if "session" in c)
            assert cookie.startswith("__Host-retaild_session=")
            assert "Secure" in cookie
            assert "max-age=" in entered.headers["strict-transport-security"]
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(httpx.ConnectError), httpx.Client(verify=old) as late:
            late.get(server.url)
        api: dict[str, Any] = {"url": server.url, "certificate": str(tmp_path / "tls.crt")}
        assert call(api, token, "GET", "/me", None, {})["who"].startswith("key all (")
        first = _served(server)
        certificate(tmp_path, "second")
        for _ in range(100):
            if _served(server) != first:
                break
        assert _served(server) != first


def test_who_was_refused_is_in_the_audit_log_without_what_he_typed(tmp_path: Path) -> None:
    with closed_server(tmp_path, people=["vera"]) as running:
        with browser(running) as client:
            for guess in ("a wrong guess", "another guess"):
                assert sign_in(client, "VERA", guess).status_code == 401
            # People type a password into the field of the name.
            assert sign_in(client, "my secret is out", "x").status_code == 401
        state = running.context.state
    found = [e for e in audit.entries(state)["entries"] if e["what"] == "session.refuse"]
    assert [(e["who"], e["target"], e["after"]["attempts"]) for e in reversed(found)] == [
        ("nobody", "vera", 1),
        ("nobody", "(a name that is not known)", 1),
        ("nobody", "vera", 1),  # the repeat, when the server stopped
    ]
    assert {(e["via"], e["after"]["address"]) for e in found} == {("web", "127.0.0.1")}
    assert {e["after"]["reason"] for e in found} == {"wrong name or password, or disabled"}
    written = str(state.rows("SELECT * FROM audit"))
    assert "guess" not in written
    assert "my secret" not in written
