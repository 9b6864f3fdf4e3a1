"""What every identity provider must do. Subclass, give the fixtures, run pytest."""

from __future__ import annotations

import time
from typing import Any

import pytest

from retaild.api.errors import RetaildError
from retaild.api.identity import ROLES, Identity

#: Good enough for any provider's rules, and nobody's own.
PASSWORD = "seven amber alpacas 71"


class IdentityConformance:
    """Provide the fixture `provider`: built and not opened yet."""

    @pytest.fixture
    def provider(self) -> Any:
        raise NotImplementedError

    def test_it_can_be_closed_without_and_after_opening(self, provider: Any) -> None:
        provider.close()
        provider.open()
        provider.close()
        provider.close()


class PasswordConformance(IdentityConformance):
    """For providers with `passwords` and `directory`; they begin without users."""

    @pytest.fixture
    def people(self, provider: Any) -> Any:
        provider.open()
        provider.add_user("ann", PASSWORD, frozenset({"admin"}))
        provider.add_user("bob", PASSWORD + "b", frozenset({"viewer"}))
        yield provider
        provider.close()

    def test_the_right_password_says_who_it_is(self, people: Any) -> None:
        found = people.login("ann", PASSWORD)
        assert isinstance(found, Identity)
        assert found.name == "ann"
        assert found.roles == {"admin"}
        assert found.subject == people.login("ann", PASSWORD).subject
        assert found.subject != people.login("bob", PASSWORD + "b").subject
        assert found.roles <= set(ROLES)

    @pytest.mark.parametrize(
        ("name", "password"),
        [("ann", PASSWORD + "b"), ("ann", ""), ("nobody", PASSWORD), ("", ""), ("ann\0", PASSWORD),
         ("ann", PASSWORD + "\0"), ("' OR 1=1 --", PASSWORD), ("ann", "x" * 100_000)],
    )  # fmt: skip
    def test_anything_else_says_nothing(self, people: Any, name: str, password: str) -> None:
        assert people.login(name, password) is None

    def test_an_unknown_name_takes_as_long_as_a_wrong_password(self, people: Any) -> None:
        known = min(_seconds(people, "ann") for _ in range(7))
        unknown = min(_seconds(people, "nobody") for _ in range(7))
        assert 0.5 < unknown / known < 2.0

    def test_a_disabled_user_stays_out_until_enabled(self, people: Any) -> None:
        people.change_user("bob", disabled=True)
        assert people.login("bob", PASSWORD + "b") is None
        people.change_user("bob", disabled=False)
        assert people.login("bob", PASSWORD + "b") is not None

    def test_changes_count_at_once_and_leave_the_rest(self, people: Any) -> None:
        people.change_user("bob", password=PASSWORD + "c")
        people.change_user("bob", roles=frozenset({"operator"}))
        assert people.login("bob", PASSWORD + "b") is None
        assert people.login("bob", PASSWORD + "c").roles == {"operator"}

    def test_a_name_that_is_given_again_is_somebody_else(self, people: Any) -> None:
        first = people.login("bob", PASSWORD + "b").subject
        people.remove_user("bob")
        assert people.login("bob", PASSWORD + "b") is None
        people.add_user("bob", PASSWORD + "d", frozenset({"viewer"}))
        assert people.login("bob", PASSWORD + "d").subject != first

    def test_what_cannot_be_is_said(self, people: Any) -> None:
        with pytest.raises(RetaildError):
            people.add_user("ann", PASSWORD, frozenset({"viewer"}))
        for call in (people.remove_user, people.change_user):
            with pytest.raises(RetaildError):
                call("nobody")
        with pytest.raises(RetaildError):
            people.remove_user("ann")  # nobody else could administer

    def test_the_list_tells_no_secret(self, people: Any) -> None:
        listed = {user["name"]: user for user in people.users()}
        assert set(listed) == {"ann", "bob"}
        assert listed["ann"]["roles"] == ["admin"]
        assert PASSWORD not in str(listed)
        assert "argon2" not in str(listed)


class BearerConformance(IdentityConformance):
    """For providers with `bearer_tokens`. Provide `good_token` too: an access token of somebody."""

    @pytest.fixture
    def good_token(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def opened(self, provider: Any) -> Any:
        provider.open()
        yield provider
        provider.close()

    def test_a_good_token_says_whose_it_is(self, opened: Any, good_token: str) -> None:
        found = opened.bearer(good_token)
        assert isinstance(found, Identity)
        assert found.subject
        assert found.name
        assert found.roles <= set(ROLES)
        assert found.subject == opened.bearer(good_token).subject

    @pytest.mark.parametrize("change", ["", "x", " ", "\0", "\ud800"])
    def test_a_token_with_more_or_less_says_nothing(
        self, opened: Any, good_token: str, change: str
    ) -> None:
        assert opened.bearer(good_token + change if change else good_token[:-1]) is None

    @pytest.mark.parametrize("token", ["", "nobody's", "a.b.c", "x" * 100_000, "é\0\n"])
    def test_anything_else_says_nothing(self, opened: Any, token: str) -> None:
        assert opened.bearer(token) is None


def _seconds(provider: Any, name: str) -> float:
    begin = time.perf_counter()
    provider.login(name, "a wrong password 99")
    return time.perf_counter() - begin
