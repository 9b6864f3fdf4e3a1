"""Keys, sessions, the cache, the limiter, signatures, the audit log's chain."""

from __future__ import annotations

import sqlite3
import stat
import time
from pathlib import Path

import pytest

from retaild.api.identity import Identity
from retaild.runtime.access import audit
from retaild.runtime.access.errors import KeySettingsError, ThrottledError
from retaild.runtime.access.keys import ApiKeys
from retaild.runtime.access.limiter import MAX_COUNTS, LoginLimiter, keys_of
from retaild.runtime.access.secret import Signer, digest
from retaild.runtime.access.sessions import PER_SUBJECT, Sessions
from retaild.runtime.access.verifier import MAX_CACHED, Verifier
from retaild.runtime.state import State

ANN = Identity("s-1", "ann", frozenset({"operator"}))


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state.db")


def test_a_key_is_kept_as_a_digest_only(state: State) -> None:
    key_id, token = ApiKeys(state).create("shop", ["ingest"], "test", 1)
    secret = token.rpartition("_")[2] if token.count("_") == 2 else token.split("_", 2)[2]
    content = b"".join(path.read_bytes() for path in state.path.parent.iterdir())
    assert digest(token) in content
    assert secret.encode() not in content
    found = ApiKeys(state).find(token)
    assert found is not None
    assert found[0].permissions == {"ingest"}
    assert key_id in found[0].who


def test_ended_revoked_and_changed_keys_are_none(state: State) -> None:
    keys = ApiKeys(state)
    key_id, token = keys.create("shop", ["ingest"], "test", 1)
    assert keys.find(token[:-1] + ("A" if token[-1] != "A" else "B")) is None
    keys.revoke(key_id)
    assert keys.find(token) is None
    _, short = keys.create("shop", ["ingest"], "test", 0.02 / 86_400)
    time.sleep(0.03)
    assert keys.find(short) is None
    with pytest.raises(KeySettingsError):
        keys.create("shop", ["everything"], "test")


def test_a_command_has_a_key_that_ends_and_is_not_listed(state: State) -> None:
    keys = ApiKeys(state)
    found = keys.find(keys.create_for_system("root"))
    assert found is not None
    assert (found[0].who, found[0].via) == ("system user root", "command")
    assert found[1] is not None
    assert found[1] <= time.time() + 120
    assert keys.list() == []


def test_sessions_end_when_idle_when_old_and_when_told(state: State) -> None:
    sessions = Sessions(state, idle_seconds=0.05, seconds=60)
    token = sessions.begin(ANN, "local", "192.0.2.1")
    found = sessions.find(token)
    assert found is not None
    assert found[0].who == "user ann"
    time.sleep(0.06)
    assert sessions.find(token) is None
    assert Sessions(state, 60, -1).find(Sessions(state, 60, -1).begin(ANN, "local", "")) is None
    lasting = Sessions(state, 60, 60)
    token = lasting.begin(ANN, "local", "")
    assert lasting.end_all("s-1") >= 1
    assert lasting.find(token) is None


def test_one_person_has_a_bounded_number_of_sessions(state: State) -> None:
    sessions = Sessions(state, 60, 60)
    tokens = [sessions.begin(ANN, "local", "") for _ in range(PER_SUBJECT + 2)]
    assert len(sessions.list()) == PER_SUBJECT
    assert sessions.find(tokens[0]) is None
    assert sessions.find(tokens[-1]) is not None


def test_the_cache_is_bounded_and_forgets_at_once(state: State) -> None:
    keys = ApiKeys(state)
    verifier = Verifier(keys, Sessions(state, 60, 60))
    key_id, token = keys.create("shop", ["ingest"], "test", 1)
    assert verifier.known(token.encode()) is None
    assert verifier.find_bearer(token) is verifier.known(token.encode())
    keys.revoke(key_id)
    assert verifier.known(token.encode()) is not None  # another process's: up to 5 s
    verifier.forget()
    assert verifier.known(token.encode()) is None
    assert verifier.find_bearer(token) is None
    caller = keys.find(keys.create("x", ["view"], "test", 1)[1])
    for number in range(MAX_CACHED + 10):
        verifier._remembered(str(number), lambda _: caller, 5.0)
    assert len(verifier._cache) == MAX_CACHED


def test_failures_cost_time_and_a_stranger_keeps_nobody_out() -> None:
    now = 0.0
    limiter = LoginLimiter(lambda: now)
    stranger = keys_of("ann", "192.0.2.66", "")
    for _ in range(4):
        limiter.attempt(stranger)
    with pytest.raises(ThrottledError) as refused:
        limiter.attempt(stranger)
    assert refused.value.seconds == 1
    limiter.attempt(keys_of("ann", "192.0.2.1", "her browser"))  # signed in here before
    for _ in range(20):
        now += 900.0
        limiter.attempt(stranger)
    now += 60.0  # the account's pause is never longer, whatever strangers do
    limiter.attempt(keys_of("ann", "192.0.2.2", ""))


def test_the_limiter_forgets_the_oldest_and_groups_networks() -> None:
    limiter = LoginLimiter(lambda: 0.0)
    for number in range(MAX_COUNTS):
        limiter.attempt([("address", str(number)), ("account", str(number))])
    assert len(limiter._failures) == MAX_COUNTS
    same = [keys_of("a", f"2001:db8:1:2::{n}", "")[0] for n in (1, 2)]
    assert same[0] == same[1] != keys_of("a", "2001:db8:1:3::1", "")[0]


def test_signed_values_are_ours_whole_and_of_their_purpose(tmp_path: Path) -> None:
    signer = Signer(tmp_path / "secrets" / "key")
    text = signer.sign("attempt", {"state": "x"}, 60)
    assert signer.read("attempt", text) == {"state": "x"}
    assert Signer(tmp_path / "secrets" / "key").read("attempt", text) == {"state": "x"}
    assert signer.read("browser", text) is None
    assert signer.read("attempt", signer.sign("attempt", {}, -1)) is None
    for wrong in ("", ".", "a.b", text[:-2], "ä.ö", text.replace(".", "A.", 1)):
        assert signer.read("attempt", wrong) is None
    assert stat.S_IMODE((tmp_path / "secrets" / "key").stat().st_mode) == 0o600


def test_the_audit_log_only_grows_and_shows_what_was_done_to_it(state: State) -> None:
    for number in range(3):
        audit.record(state, "user ann", "price.approve", f"p{number}", via="web", after={"n": 1.5})
    assert audit.verify(state).broken is None
    with pytest.raises(sqlite3.IntegrityError, match="append-only"), state.transaction() as c:
        c.execute("DELETE FROM audit WHERE id = 1")
    with state.transaction() as connection:  # somebody with the file
        connection.execute("DROP TRIGGER audit_is_never_changed")
        connection.execute("UPDATE audit SET who = 'user eve' WHERE id = 2")
    assert audit.verify(state) == audit.Verdict(1, audit.verify(state).head, 2)
    assert audit.entries(state, search="p2")["total"] == 1
    assert audit.entries(state, search="%")["total"] == 0
