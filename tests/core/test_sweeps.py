"""Tests of sweeps and placeholders."""

from __future__ import annotations

import pytest

from app.core import sweeps


def test_known_placeholders_are_replaced_and_others_stay():
    values = {"": "a b", "1": "a", "lr": "{bs}", "bs": "32"}

    assert sweeps.fill_placeholders("{}:{1}:{lr}", values) == "a b:a:{bs}"
    for text in ("{print $1}", "${lr}", "{ lr }", "{no}", "{2}", "{", "a{1,2}"):
        assert sweeps.fill_placeholders(text, values) == text
    assert sweeps.find_placeholders("{}{a}${b}") == {"", "a"}


def test_values_of_a_sweep_are_quoted_as_csv():
    assert sweeps.parse_sweep("lr=0.1,0.01") == ("lr", ["0.1", "0.01"])
    assert sweeps.parse_sweep('msg="a,b", c=d') == ("msg", ["a,b", "c=d"])


@pytest.mark.parametrize(
    "text", ["lr", "lr=", "=1", "1r=1", "l-r=1", "lr=1,,2", "lr=1,", 'lr="1', "lr=\0", "é=1"]
)
def test_a_wrong_sweep_is_refused(text: str):
    with pytest.raises(ValueError):
        sweeps.parse_sweep(text)


def test_the_last_parameter_of_a_product_changes_fastest():
    rows = sweeps.expand_product([("a", ["1", "2"]), ("b", ["x", "y"])])

    assert [(row["a"], row["b"]) for row in rows] == [
        ("1", "x"),
        ("1", "y"),
        ("2", "x"),
        ("2", "y"),
    ]
    with pytest.raises(ValueError, match=r"1,000,000,000 combinations"):
        sweeps.expand_product([(name, ["1"] * 1000) for name in "abc"])
    with pytest.raises(ValueError, match=r'"a" twice'):
        sweeps.expand_product([("a", ["1"]), ("a", ["2"])])


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b"\xef\xbb\xbflr,bs\r\n1,2\r\n\r\n3,\"4,5\"\r\n", [("1", "2"), ("3", "4,5")]),
        (b"lr\tbs\n1\t2,3\n", [("1", "2,3")]),
        (b'lr, bs\n1, "a\nb"\n1,\n', [("1", "a\nb"), ("1", "")]),
        (b"lr,bs\n\xff,1", [("\udcff", "1")]),
    ],
)  # fmt: skip
def test_a_grid_has_a_row_for_each_task(data: bytes, rows: list[tuple[str, str]]):
    assert sweeps.parse_grid(data) == [{"lr": lr, "bs": bs} for lr, bs in rows]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"lr,bs\n", "no row"),
        (b"lr,bs\n1,2\n3\n", "line 3 has 1 column, the header has 2"),
        (b"lr,lr\n1,2\n", '"lr" twice'),
        (b"lr,\n1,2\n", "names a parameter"),
        (b"lr;bs\n1;2\n", "names a parameter"),
        (b"lr\na\0b\n", "NUL"),
        (b'lr\n"a\n', "line 2"),
        (b"lr\n" + b"x" * 140_000, "line 2"),
        (b"lr\n" + b"x" * 125_000, "too long"),
    ],
)
def test_a_wrong_grid_is_refused(data: bytes, said: str):
    with pytest.raises(ValueError, match=said):
        sweeps.parse_grid(data)


def test_columns_of_an_item_lie_between_spaces_or_tabs():
    assert sweeps.split_columns(" a  b ") == {"": " a  b ", "1": "a", "2": "b"}
    assert sweeps.split_columns("a b\tc") == {"": "a b\tc", "1": "a b", "2": "c"}


def test_the_size_of_a_value_is_that_of_its_bytes():
    assert sweeps.parse_sweep("a=" + "é" * 60_000)[1] == ["é" * 60_000]
    with pytest.raises(ValueError, match="too long"):
        sweeps.parse_sweep("a=" + "é" * 60_001)
