from pytest_af3mem.reports.columns import aligned, markdown_table, origin, printed, signed

ROWS = [("tokens", "job"), ("100", "a|b"), ("1000", r"c\|d")]


def test_aligned():
    assert aligned(ROWS, right={0}) == ["tokens  job", "   100  a|b", r"  1000  c\|d"]


def test_a_table_in_markdown_whose_cells_stay_cells():
    assert markdown_table(ROWS, right={0}) == ["| tokens | job |", "| ---: | --- |", r"| 100 | a\|b |", r"| 1000 | c\|d |"]


def test_lines_from_outside():
    assert printed(["::error::x", "\x1b[31mred"]) == "\\x3a:error::x\n\\x1b[31mred\n"
    assert printed([]) == ""


def test_signed():
    assert (signed(2**20), signed(-3)) == ("+1.00 MiB", "-3 B")


def test_origin(a_peak):
    assert (origin(a_peak(seconds=61.2)), origin(a_peak(cached=True))) == ("compiled, 61 s", "compiled before")
