"""What tokamax would keep when it tunes: noted while a model is traced, in the place of tuning, which takes a GPU."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from pytest_af3mem.worker.xla.tuning import noted


class BoundArguments:
    """As tokamax has it: an operation with its arguments."""

    op = "triangle_attention"
    heuristics_config = "the configuration without tuning"

    def __init__(self, key, **arguments):
        self.autotuning_cache_key = key
        self.arguments = arguments

    def autotune(self):
        raise AssertionError("there is no GPU to tune on")


@pytest.fixture
def tokamax(monkeypatch):
    module = ModuleType("tokamax._src.ops.op")
    module.BoundArguments = BoundArguments
    monkeypatch.setitem(sys.modules, module.__name__, module)


def array(*shape, itemsize=2, **more):
    return SimpleNamespace(shape=shape, dtype=SimpleNamespace(itemsize=itemsize), **more)


def test_inputs_of_each_kernel_count_once(tokamax):
    with noted() as tuned:
        first = BoundArguments("a", query=array(8, 4), bias=array(3, itemsize=4), causal=False)
        assert first.autotune().fastest_config == "the configuration without tuning"
        first.autotune()
        BoundArguments("b", query=array(10)).autotune()
    assert tuned.total_bytes == 8 * 4 * 2 + 3 * 4 + 10 * 2


def test_an_operation_that_is_mapped_counts_with_its_axes(tokamax):
    with noted() as tuned:
        BoundArguments("a", query=array(8, vmap_shape=(5, 8))).autotune()
    assert tuned.total_bytes == 5 * 8 * 2


def test_nothing_tuned_is_none_and_not_nothing_kept(tokamax):
    with noted() as tuned:
        pass
    assert tuned.total_bytes is None


def test_afterwards_tokamax_tunes_again(tokamax):
    with noted():
        pass
    with pytest.raises(AssertionError):
        BoundArguments("a").autotune()


def test_without_tokamax_nothing_is_tuned(monkeypatch):
    monkeypatch.delitem(sys.modules, "tokamax._src.ops.op", raising=False)
    with noted() as tuned:
        pass
    assert tuned.total_bytes is None
