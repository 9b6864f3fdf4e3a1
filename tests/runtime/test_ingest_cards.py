"""Canaries: card numbers in every place of a file, and then nowhere under the data directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from retaild.api.lake import Lake
from retaild.runtime.importing import import_file, replay_dead_letters

from .ingest_shop import HEADER, Shop, row

#: Published test numbers; each stands in one place of the file.
CANARIES = {
    "plain, in the description": "4111111111111111",
    "spaced, in the description": "5555 5555 5555 4444",
    "dashed, in the description": "3782-822463-10005",
    "as the customer": "6011111111111117",
    "as the receipt": "3530111333300000",
    "as the article": "5105105105105100",
    "in a row with too few fields": "4012888888881881",
    "as a quantity": "4000056655665556",
    "as a date": "5200828282828210",
    "in a row of another encoding": "371449635398431",
    "in a quoted text never closed": "2223003122003222",
    "with non-breaking spaces": "6200\u00a00000\u00a00000\u00a00005",
}
PAGES = "4006381333931"  # an article number with a right GTIN check digit


def digits(text: str) -> str:
    return "".join(sign for sign in text if sign.isdigit())


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path)
    shop.inbox.mkdir()
    shop.configure()
    return shop


def export(shop: Shop) -> Path:
    c = CANARIES
    lines = [
        row(1),
        row(2, text=f"paid with {c['plain, in the description']}"),
        row(2, text=f"paid with {c['spaced, in the description']}"),
        row(2, text=f"card {c['dashed, in the description']} ok"),
        row(3, customer=c["as the customer"]),
        row(c["as the receipt"]),
        row(4, article=c["as the article"]),
        f"5,A,{c['in a row with too few fields']}\n",
        row(6, pieces=c["as a quantity"]),
        row(7, time=c["as a date"]),
        row(8, text="K\udce4se " + c["in a row of another encoding"] + " \udc81"),
        row(9, text='"' + c["in a quoted text never closed"]),
        row(10, text=c["with non-breaking spaces"]),
        row(11, article=PAGES),
    ]
    path = shop.root / "export 4242424242424242.csv"
    path.write_bytes((HEADER + "".join(lines)).encode("utf-8", "surrogateescape"))
    return path


def everything(shop: Shop) -> str:
    """All that can be read under the data directory: raw bytes, log entries, lake tables."""
    parts = [path.read_bytes().decode("latin-1") for path in shop.data.rglob("*") if path.is_file()]
    parts.append(repr(shop.log()))
    lake = Lake(shop.data / "lake")
    parts += [repr(lake.dataset(name).to_table().to_pylist()) for name in lake.names()]
    return "\n".join(parts)


def traces(text: str) -> list[str]:
    """Canaries that can be found, spelled as in the file or as plain digits."""
    numbers = {*CANARIES.values(), "4242424242424242"}
    spelled = {form for number in numbers for form in (number, digits(number))}
    spelled |= {number.encode().decode("latin-1") for number in numbers}
    return sorted(form for form in spelled if form in text)


def test_the_canaries_are_found_nowhere(shop: Shop) -> None:
    result = import_file(shop.context(), export(shop), "tills")
    assert result.accepted + result.dead == 14
    assert result.accepted == 2
    assert result.refused_cards == len(CANARIES)
    shop.carry_to_lake()
    text = everything(shop)
    assert traces(text) == []
    assert PAGES in text
    # The search itself finds what is there: the masked forms.
    assert "411111******1111" in text
    assert "555555** **** 4444".replace("555555", "5555 55") in text


def test_refused_for_a_card_tells_where_and_never_what(shop: Shop) -> None:
    import_file(shop.context(), export(shop), "tills")
    letters = shop.log()["dead_letter"]
    refused = [letter for letter in letters if letter["reason_key"] == "event.card_number"]
    assert len({letter["event_id"] for letter in letters}) == len(letters) == 12
    # The seven that would have been events, by their rows in the file.
    assert [letter["place"].split(" row ")[1] for letter in refused] == ["2", "3", "4", "5", "6",
                                                                         "7", "13"]  # fmt: skip
    assert "customer_id" in refused[3]["reason"]
    assert all("export 424242******4242.csv" in letter["place"] for letter in letters)


def test_a_replay_takes_the_row_in_with_the_number_masked(shop: Shop) -> None:
    import_file(shop.context(), export(shop), "tills")
    shop.carry_to_lake()
    result = replay_dead_letters(shop.context())
    assert result.accepted == 7
    assert result.refused == 5
    shop.carry_to_lake()
    sales = Lake(shop.data / "lake").dataset("silver.sale").to_table().to_pylist()
    assert len(sales) == 9
    customers = {sale["customer_id"] for sale in sales}
    assert customers == {"17", "601111******1117"}
    assert traces(everything(shop)) == []
    # A second replay has nothing left to take in.
    assert replay_dead_letters(shop.context()).accepted == 0


def test_the_ids_of_what_was_masked_do_not_betray_it(shop: Shop) -> None:
    """Six unknown digits are guessed in a moment: no id may derive from the whole number."""
    first, second = shop.root / "a", shop.root / "b"
    # Both numbers are right by Luhn's digit and masked alike: 411111******1111.
    for folder, number in ((first, "4111111111111111"), (second, "4111110000091111")):
        folder.mkdir()
        (folder / "x.csv").write_text(HEADER + row(1, customer=number) + f"1,A,{number}\n")
    import_file(shop.context(), first / "x.csv", "tills")
    import_file(shop.context(), second / "x.csv", "tills")
    letters = shop.log()["dead_letter"]
    assert len(letters) == 4
    assert len({letter["event_id"] for letter in letters}) == 2
