import pytest

from shares import describe, split_evenly


def test_an_even_split():
    assert split_evenly(12, 4) == [3, 3, 3, 3]


def test_nothing_is_lost():
    assert sum(split_evenly(7, 3)) == 7


def test_shares_differ_by_at_most_one():
    shares = split_evenly(11, 4)
    assert max(shares) - min(shares) <= 1
    assert shares == [3, 3, 3, 2]


def test_no_parts():
    with pytest.raises(ValueError):
        split_evenly(5, 0)


def test_describe():
    assert describe([3, 2, 2]) == "3 + 2 + 2"
