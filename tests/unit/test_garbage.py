"""Python seeks garbage seldom while something is measured, and as before afterwards."""

import gc

import pytest

from pytest_af3mem.worker import garbage


def test_garbage_is_sought_seldom_until_the_end():
    usual = gc.get_threshold()
    with garbage.sought_seldom():
        assert gc.get_threshold() > usual
        assert gc.isenabled()
    assert gc.get_threshold() == usual


def test_it_is_sought_as_before_after_an_error():
    usual = gc.get_threshold()

    @garbage.sought_seldom()
    def measure():
        raise ValueError

    for _ in range(2):
        with pytest.raises(ValueError):  # noqa: PT011
            measure()
        assert gc.get_threshold() == usual
