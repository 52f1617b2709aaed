"""Names of files and what a worker says come from outside: they colour no terminal and command no CI job."""

import pytest

from pytest_af3mem.reports.columns import shown


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("jobs/my protein, β-barrel.json", "jobs/my protein, β-barrel.json"),
        ("C:\\jobs\\a.json", "C:\\jobs\\a.json"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\u202egnp.json", r"\u202egnp.json"),
        ("\udcff.json", r"\udcff.json"),
        ("::error::x", r"\x3a:error::x"),
        ("  ::error::x", r"  \x3a:error::x"),
        ("test.py::test_a", "test.py::test_a"),
        ("a\n::error::x", r"a\n::error::x"),
        ("so ##[error]x", r"so \x23#[error]x"),
        ("", ""),
    ],
)
def test_what_is_shown_is_one_printable_line_that_is_no_command(text, printed):
    assert shown(text) == printed
