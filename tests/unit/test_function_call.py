"""Calls of functions with shapes in the place of arrays, as text and back."""

import json
import math
from collections import namedtuple

import numpy as np
import pytest

from pytest_af3mem.errors import UsageError
from pytest_af3mem.models.function_call import Call, array, place, shortened


def gram(x):
    return x @ x.T


HERE = f"{__name__}:gram"
PAIR = namedtuple("PAIR", "left right")


@pytest.mark.parametrize(
    ("shapes", "static", "text"),
    [
        ((), {}, "()"),
        (("bfloat16[1024,128]", "float32[]"), {}, "('bfloat16[1024,128]', 'float32[]')"),
        (({"w": "int8[2]", "b": ["bool[3]", None]},), {}, "({'b': ['bool[3]', None], 'w': 'int8[2]'})"),
        ((("int8[2]",), []), {}, "(('int8[2]',), [])"),
        ((np.zeros((2, 3), np.float32), np.int8(1)), {}, "('float32[2,3]', 'int8[]')"),
        ((), {"n": 3, "axes": (0, 1), "how": "it's", "scale": -0.5}, '(axes=(0, 1), how="it\'s", n=3, scale=-0.5)'),
        (("int8[0]",), {"deep": {"b": [None], "a": True}}, "('int8[0]', deep={'a': True, 'b': [None]})"),
    ],
)
def test_a_call_is_a_line_of_text_and_back(shapes, static, text):
    call = Call.of(gram, shapes, static)
    assert str(call) == HERE + text
    assert Call.parse(str(call)) == call == Call.of(HERE, shapes, static)


def test_an_array():
    assert array("bfloat16[1024,128]") == ("bfloat16", (1024, 128))
    assert array("bool[]") == ("bool", ())


def local():
    def inner(x):
        return x

    return inner


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x, "is a lambda, so the worker cannot import it: define it with `def` at the top of a module"),
        (local(), "is defined inside of a function, so the worker cannot import it"),
        (3, "gpu_peak.of(3) is no function with a name"),
        (np.zeros(3), "is no function with a name"),
        (type("gram", (), {}), "is not what is found under that name"),
        ("gram", "'gram' must be 'package.module:name'"),
        ("a b:c", "'a b:c' must be 'package.module:name'"),
    ],
)
def test_a_function_that_cannot_be_found_again_is_refused(function, words):
    with pytest.raises(UsageError) as error:
        Call.of(function, (), {})
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ("4x4", "argument 1 '4x4' is no shape: write 'bfloat16[1024,128]', for one number 'float32[]'"),
        ("float32[4, 4]", "is no shape"),
        ("float32[-1]", "is no shape"),
        ("float32[n]", "is no shape"),
        ("float32", "is no shape"),
        (3, "argument 1 3 is no shape"),
        (PAIR("int8[1]", "int8[2]"), "argument 1 PAIR(left='int8[1]', right='int8[2]') is no shape"),
        ("f32[4]", "unknown type 'f32'; did you mean float32"),
        ("quad[4]", "unknown type 'quad'"),
        (np.zeros(3, "U2"), "argument 1 'str64[3]': unknown type"),
        ({"w": ["int8[2]", "int8"]}, "argument 1['w'][1] 'int8' is no shape"),
        ({1: "int8[2]"}, "argument 1 has the key 1: keys must be text"),
    ],
)
def test_what_is_no_shape_is_refused_with_its_place(shape, words):
    with pytest.raises(UsageError) as error:
        Call.of(gram, (shape,), {})
    assert words in str(error.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, float, {1: 2}, {"a": object()}, [np.zeros(2)]])
def test_what_json_has_not_is_refused(value):
    with pytest.raises(UsageError, match=r"^gpu_peak\.of: n=.* must be a finite number, a text, True, False, None, or a list"):
        Call.of(gram, (), {"n": value})


def test_a_module_is_where_this_process_has_it_unless_it_is_installed(tmp_path, monkeypatch):
    (tmp_path / "own_blocks").mkdir()
    (tmp_path / "own_blocks" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert place("own_blocks.deep.deeper") == tmp_path
    assert [place(name) for name in ("pytest", "json", "nowhere.at_all")] == [None, None, None]


def test_a_long_call_is_shortened():
    call = str(Call.of(gram, [{f"w{at}": "float32[128,128]" for at in range(40)}], {"n": 3}))
    assert len(shortened(call)) == 120
    assert shortened(call).startswith(HERE[:40])
    assert shortened(call).endswith("n=3)")
    assert json.loads(json.dumps(call)) == call
