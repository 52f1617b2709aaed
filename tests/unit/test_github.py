from pathlib import Path

import pytest

from pytest_af3mem.reports import github, write
from pytest_af3mem.reports.failures import Failure

ROOT = Path("/home/runner/work/model")


def failure(**changes):
    usual = {"test": "tests/t.py::test_fits[512]", "file": ROOT / "tests" / "t.py", "line": 7, "message": "it is over"}
    return Failure(**{**usual, **changes})


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "::error file=tests/t.py,line=7,title=GPU memory%3A test_fits[512]::it is over"),
        (
            {"message": "100 % over,\r\nreally: yes"},
            "::error file=tests/t.py,line=7,title=GPU memory%3A test_fits[512]::100 %25 over,%0D%0Areally: yes",
        ),
        (
            {"test": "tests/t.py::test_fits[a,b:50%\n::error::]"},
            "::error file=tests/t.py,line=7,title=GPU memory%3A test_fits[a%2Cb%3A50%25%0A%3A%3Aerror%3A%3A]::it is over",
        ),
        (
            {"file": ROOT / "a,b" / "c:d.py"},
            "::error file=a%2Cb/c%3Ad.py,line=7,title=GPU memory%3A test_fits[512]::it is over",
        ),
        (
            {"file": Path("/elsewhere/t.py")},
            "::error file=/elsewhere/t.py,line=7,title=GPU memory%3A test_fits[512]::it is over",
        ),
    ],
)
def test_an_annotation_is_one_escaped_line(changes, line):
    assert github.commands([failure(**changes)], ROOT) == [line]


def test_the_sizes_of_a_test_share_an_annotation():
    sizes = [failure(), failure(test="tests/t.py::test_fits[1024]", message="so is it")]
    assert github.commands([*sizes, failure(test="tests/t.py::test_other", line=9)], ROOT) == [
        "::error file=tests/t.py,line=7,title=GPU memory%3A test_fits[512] and 1 more::it is over%0Aso is it",
        "::error file=tests/t.py,line=9,title=GPU memory%3A test_other::it is over",
    ]


def test_annotations_are_for_github_alone():
    assert write.annotate([failure()], ROOT, {}) == []
    assert write.annotate([failure()], ROOT, {"GITHUB_ACTIONS": "false"}) == []
    (line,) = write.annotate([failure()], Path("/"), {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(ROOT)})
    assert line.startswith("::error file=tests/t.py,")
    (line,) = write.annotate([failure()], ROOT, {"GITHUB_ACTIONS": "true"})
    assert line.startswith("::error file=tests/t.py,")
