"""Ready answers go when what they say is no longer so."""

from __future__ import annotations

from retaild.runtime.serving.answers import Answers


def test_answers_with_a_product_are_dropped() -> None:
    answers = Answers(3, 100)
    answers.put("a", b"a", [1, 2, 3])
    answers.put("b", b"b", [4])
    answers.put("c", b"c", [])
    assert sorted(answers.drop_with({3, 9}, known=10)) == ["a"]
    assert set(answers.ready) == {"b", "c"}
    assert answers.drop_with({0}, known=10) == []


def test_a_replaced_answer_holds_only_its_new_products() -> None:
    answers = Answers(3, 100)
    answers.put("a", b"1", [1, 2, 3])
    answers.put("a", b"2", [4, 5])
    assert answers.drop_with({1, 2, 3}, known=9) == []
    assert answers.ready["a"].body == b"2"
    assert answers.drop_with({5}, known=9) == ["a"]


def test_the_oldest_answer_makes_room() -> None:
    answers = Answers(1, 2)
    for customer in "abc":
        answers.put(customer, b"", [7])
    assert set(answers.ready) == {"b", "c"}
    assert sorted(answers.drop_with({7}, known=8)) == ["b", "c"]
    assert not answers.ready


def test_thousands_of_answers_come_and_go() -> None:
    answers = Answers(2, 10_000)
    for number in range(5000):
        answers.put(f"c{number}", b"", [number % 50, 60])
    assert len(answers.drop_with({7}, known=100)) == 100
    assert len(answers) == 4900
    answers.clear()
    assert answers.drop_with({60}, known=100) == []
