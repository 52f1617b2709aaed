"""Which edit holds the bytes: hand-written diffs laid over the lines of holders."""

import pytest

from pytest_af3mem.planning.hunks import by_hunk, read
from pytest_af3mem.records.peak import Holder


def held(**sizes):
    """Holders of so many bytes at lines, `model_py_12` for model.py:12."""
    return [
        Holder("a", "temporary", size, source=name.replace("_py_", ".py:").replace("__", "/")) for name, size in sizes.items()
    ]


def table(diff, before, after, **folders):
    """Rows as people read them."""
    shares = by_hunk(diff, before, after, **folders)
    assert sum(one.before_bytes for one in shares) == sum(one.bytes for one in before)
    assert sum(one.after_bytes for one in shares) == sum(one.bytes for one in after)
    return [(str(one.hunk or "elsewhere"), one.before_bytes, one.after_bytes) for one in shares]


MOVED = """\
diff --git a/m/model.py b/m/model.py
index 1111111..2222222 100644
--- a/m/model.py
+++ b/m/model.py
@@ -10,3 +10,5 @@ class Model:
 ten
-eleven
+eleven, wider
+and longer
+still
 twelve
@@ -40 +42 @@ def far():
-forty
+forty, too
"""


def test_bytes_before_are_of_old_lines_and_bytes_after_of_new_ones():
    before = held(m__model_py_9=1, m__model_py_11=10, m__model_py_13=100, m__model_py_40=1000, m__other_py_11=5)
    after = held(m__model_py_9=1, m__model_py_13=30, m__model_py_15=100, m__model_py_42=1500, m__other_py_11=5)
    assert table(MOVED, before, after) == [
        ("m/model.py:42", 1000, 1500),
        ("m/model.py:10-14", 10, 30),  # line 13 is in it now, and was not before
        ("elsewhere", 106, 106),
    ]


def test_the_first_changed_line_is_the_one_to_annotate():
    assert [hunk.changed for hunk in read(MOVED)] == [11, 42]


def test_what_has_no_line_is_elsewhere():
    nowhere = [Holder("fragmentation", "fragmentation", 7), *held(m__model_py_11=3)]
    assert table(MOVED, nowhere, nowhere) == [("m/model.py:10-14", 3, 3), ("elsewhere", 7, 7)]


def test_nothing_that_an_edit_touches_is_held():
    assert table(MOVED, held(m__model_py_1=5), held(m__model_py_1=6)) == [("elsewhere", 5, 6)]
    assert table("", held(m__model_py_1=5), []) == [("elsewhere", 5, 0)]


def test_a_renamed_file():
    diff = """\
diff --git a/m/old.py b/m/new.py
similarity index 90%
rename from m/old.py
rename to m/new.py
--- a/m/old.py
+++ b/m/new.py
@@ -5,2 +5,2 @@
 five
-six
+SIX
"""
    before, after = held(m__old_py_6=10, m__new_py_6=99), held(m__new_py_6=20)
    assert table(diff, before, after) == [("m/new.py:5-6", 10, 20), ("elsewhere", 99, 0)]


def test_a_file_that_was_renamed_and_not_changed_has_no_hunk():
    diff = "diff --git a/m/old.py b/m/new.py\nsimilarity index 100%\nrename from m/old.py\nrename to m/new.py\n"
    assert table(diff, held(m__old_py_6=10), held(m__new_py_6=10)) == [("elsewhere", 10, 10)]


def test_an_added_and_a_deleted_file():
    diff = """\
diff --git a/m/gone.py b/m/gone.py
deleted file mode 100644
--- a/m/gone.py
+++ /dev/null
@@ -1,2 +0,0 @@
-one
-two
diff --git a/m/fresh.py b/m/fresh.py
new file mode 100644
--- /dev/null
+++ b/m/fresh.py
@@ -0,0 +1,3 @@
+one
+two
+three
"""
    rows = table(diff, held(m__gone_py_2=10), held(m__fresh_py_3=30))
    assert rows == [("m/fresh.py:1-3", 0, 30), ("m/gone.py:1-2 (removed)", 10, 0), ("elsewhere", 0, 0)]
    gone, fresh = read(diff)
    assert (gone.new.file, fresh.old.file, fresh.changed) == ("", "", 1)


def test_lines_that_were_removed_alone():
    diff = "--- a/m.py\n+++ b/m.py\n@@ -10,2 +9,0 @@\n-ten\n-eleven\n"
    assert table(diff, held(m_py_11=10), held(m_py_9=1)) == [("m.py:10-11 (removed)", 10, 0), ("elsewhere", 0, 1)]
    (hunk,) = read(diff)
    assert hunk.changed == 9


def test_no_newline_at_the_end():
    diff = """\
--- a/m.py
+++ b/m.py
@@ -3 +3 @@
-three
\\ No newline at end of file
+THREE
\\ No newline at end of file
--- a/n.py
+++ b/n.py
@@ -1 +1 @@
-one
+ONE
"""
    rows = table(diff, held(m_py_3=1, n_py_1=2), held(m_py_3=2, n_py_1=5))
    assert rows == [("n.py:1", 2, 5), ("m.py:3", 1, 2), ("elsewhere", 0, 0)]


@pytest.mark.parametrize("of_heads", ["\n", "\r\n"])
def test_files_with_carriage_returns(of_heads):
    heads = ["--- a/m.py", "+++ b/m.py", "@@ -1,2 +1,2 @@"]
    body = " one\r\n-two\r\n+TWO with \x0c and \x85 in it\r\n"
    diff = "".join(f"{line}{of_heads}" for line in heads) + body
    assert table(diff, held(m_py_2=1), held(m_py_2=2)) == [("m.py:1-2", 1, 2), ("elsewhere", 0, 0)]


def test_lines_that_look_like_heads_are_lines():
    diff = "--- a/m.py\n+++ b/m.py\n@@ -1,3 +1,3 @@\n one\n--- a/x.py\n+++ b/x.py\n@@ -9 +9 @@\n@@ -20 +20 @@\n-a\n+b\n"
    # of the first hunk: a removed "-- a/x.py", an added "++ b/x.py", and a line of context that lost its blank
    assert [str(hunk) for hunk in read(diff)] == ["m.py:1-3", "m.py:20"]


@pytest.mark.parametrize(
    ("head", "file"),
    [
        ("a/my model.py\t", "my model.py"),
        ("a/model.py\t2026-01-01 12:00:00", "model.py"),
        ('"a/say \\"hi\\".py"', 'say "hi".py'),
        ('"a/tab\\there\\\\.py"', "tab\there\\.py"),
        ('"a/m\\303\\244.py"', "mä.py"),
        ("a/mä.py", "mä.py"),
        ("/dev/null", ""),
        ("a/a/b/model.py", "a/b/model.py"),
    ],
)
def test_names_of_files(head, file):
    (hunk,) = read(f"--- {head}\n+++ {head.replace('a/', 'b/', 1)}\n@@ -1 +1 @@\n-x\n+y\n")
    assert (hunk.old.file, hunk.new.file) == (file, file)


def test_a_file_with_spaces_and_quotes_is_found():
    source = 'my "m"/model.py:1'
    diff = '--- "a/my \\"m\\"/model.py"\n+++ "b/my \\"m\\"/model.py"\n@@ -1 +1 @@\n-x\n+y\n'
    holders = [Holder("a", "temporary", 5, source=source)]
    assert table(diff, holders, holders)[0] == ('my "m"/model.py:1', 5, 5)


def test_a_package_below_a_folder():
    diff = "--- a/src/m/model.py\n+++ b/src/m/model.py\n@@ -1 +1 @@\n-x\n+y\n"
    holders = held(m__model_py_1=5)
    for folders in ({}, {"old_folder": "src/", "new_folder": "src/"}, {"new_folder": "src/"}):
        assert table(diff, holders, holders, **folders)[0] == ("src/m/model.py:1", 5, 5)
    deeper = {"old_folder": "python/", "new_folder": "python/"}
    assert table(diff.replace("src/", "python/src/"), holders, holders, **deeper)[0] == ("python/src/m/model.py:1", 5, 5)
    moved = diff.replace("a/src/", "a/")  # into src, by the commit itself
    assert table(moved, holders, holders, new_folder="src/")[0] == ("src/m/model.py:1", 5, 5)


def test_a_file_of_the_same_name_elsewhere_is_another():
    diff = "--- a/vendored/m/model.py\n+++ b/vendored/m/model.py\n@@ -1 +1 @@\n-x\n+y\n"
    holders = held(m__model_py_1=5)
    assert table(diff, holders, holders) == [("elsewhere", 5, 5)]
    assert table(diff, holders, holders, old_folder="src/", new_folder="src/") == [("elsewhere", 5, 5)]


def test_a_diff_that_ends_early():
    assert [str(hunk) for hunk in read("--- a/m.py\n+++ b/m.py\n@@ -1,5 +1,5 @@\n one\n")] == ["m.py:1-5"]


def test_binary_files_and_modes_have_no_hunks():
    mode = "diff --git a/m.py b/m.py\nold mode 100644\nnew mode 100755\n"
    assert read(f"{mode}diff --git a/x.py b/x.py\nBinary files a/x.py and b/x.py differ\n") == []
