"""What people read: links lead somewhere, code can be pasted, options exist, and the reference is that of the code."""

import argparse
import configparser
import contextlib
import importlib.util
import io
import json
import re
import shlex
import subprocess
import tomllib
import xml.etree.ElementTree
from pathlib import Path

import pytest

from pytest_af3mem.commands import cli
from pytest_af3mem.records.verdict import judge
from pytest_af3mem.session.settings import OPTIONS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")), *sorted(DOCS.glob("*.md"))]
each_page = pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
FLAGS = {"--af3-gpu", *(option.flag for option in OPTIONS)}
AF3MEM = cli._parser()
(COMMANDS,) = (action.choices for action in AF3MEM._actions if isinstance(action, argparse._SubParsersAction))


def load(name):
    """A module of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def prose(text):
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```|^    .*?$", "", text, flags=re.DOTALL | re.MULTILINE)


# Links


def anchors(page):
    """The anchors of a page that are the same on a forge and on the site."""
    headings = [
        re.sub(r"[`*]|\[(.*?)\]\(.*?\)", r"\1", line) for line in re.findall(r"^#+ (.*)$", prose(page.read_text()), re.MULTILINE)
    ]
    plain = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings]
    return {re.sub(r"[-\s]+", "-", one) for one in plain} & {one.replace(" ", "-") for one in plain}


def dead_links(page, text):
    found = re.findall(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)", prose(text), re.MULTILINE)
    for link in (inline or named for inline, named in found):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not re.match(r"https://[\w.-]+\.\w+(/|$)", link) and (
            not target.exists() or (anchor and anchor not in anchors(target))
        ):
            yield link


@each_page
def test_links_lead_somewhere(page):
    assert list(dead_links(page, page.read_text())) == []


def test_dead_links_are_found():
    text = (
        "[a](gone.md) [b](ci.md#gone) [c](ci.md#gitlab-ci) [d](#words) [e](http://x) ![f](x.svg)\n[g]: gone.md\n    [h](code)\n"
    )
    assert list(dead_links(DOCS / "words.md", text)) == ["gone.md", "ci.md#gone", "http://x", "x.svg", "gone.md"]


def test_every_page_is_in_the_navigation():
    yaml = pytest.importorskip("yaml")
    sections = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    named = [name for section in sections for names in section.values() for name in names]
    assert sorted(named) == sorted(["index.md", *(page.name for page in PAGES if page.name != "README.md")])


# Code


def reader(language):
    if language in ("yaml", "yml"):
        return pytest.importorskip("yaml").safe_load
    return {
        "python": lambda code: compile(code, "block", "exec"),
        "ini": lambda code: configparser.ConfigParser(interpolation=None).read_string(code),
        "toml": tomllib.loads,
        "json": json.loads,
        "bash": lambda code: subprocess.run(["bash", "-n"], input=code, text=True, check=True, capture_output=True),
        "xml": xml.etree.ElementTree.fromstring,
    }.get(language)


def broken_blocks(text):
    for language, code in re.findall(r"^```(\w+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        if read := reader(language):
            try:
                read(code)
            except Exception as error:
                yield f"{language}: {error}"


@each_page
def test_code_is_what_it_says(page):
    assert list(broken_blocks(page.read_text())) == []
    assert page.read_text().count("```") % 2 == 0


@pytest.mark.parametrize(
    ("language", "code"), [("python", "def f(:"), ("ini", "a = 1"), ("toml", "a = b"), ("bash", "if true"), ("yaml", "a: [")]
)
def test_broken_code_is_found(language, code):
    assert len(list(broken_blocks(f"```{language}\n{code}\n```\n"))) == 1


def seen_differently(text):
    """Lines that one reader of Markdown takes for a list or for code, and another does not."""
    in_list, before = False, ""
    for line in re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE).splitlines():
        item = re.match(r"- |\d+\. ", line)
        if item and before.strip() and not in_list:
            yield line
        if in_list and not before.strip() and re.match(r" {1,3}\S| {5,7}\S", line):
            yield line
        if line.strip() and line[0] != " ":
            in_list = bool(item)
        before = line


@each_page
def test_markdown_is_read_alike(page):
    assert list(seen_differently(page.read_text())) == []


def test_markdown_that_is_not_read_alike_is_found():
    assert list(seen_differently("Text:\n- item\n\n      code\n\n  text\n")) == ["- item", "      code", "  text"]
    assert list(seen_differently("Text:\n\n- item\n  goes on\n\n        code\n\n    text\n")) == []


# Commands and options


def wrong_options(text):
    """Options and commands that no parser knows, wherever they stand."""
    yield from (flag for flag in re.findall(r"--af3-[\w-]*\w", text) if flag not in FLAGS)
    yield from (f"af3mem {name}" for name in re.findall(r"`af3mem ([a-z]+)", text) if name not in COMMANDS)
    for name, rest in re.findall(r"(?<![\w/.-])af3mem ([a-z]+)\b([^`|;>#\n]*)", text):
        if name in COMMANDS:
            known = set(COMMANDS[name]._option_string_actions)
            yield from (f"{name} {flag}" for flag in re.findall(r"(?<![\w-])--[\w-]*\w", rest) if flag not in known)


def refused_commands(text):
    """Lines of code that begin with af3mem or pytest, and that its parser does not take."""
    pytest_parser = argparse.ArgumentParser(allow_abbrev=False)
    pytest_parser.add_argument("--af3-gpu", action="store_true")
    for option in OPTIONS:
        pytest_parser.add_argument(option.flag, **({} if option.metavar else {"action": "store_true"}))
    for line in re.findall(r"^(?:    |\$ )((?:af3mem|pytest) .*)$", text, re.MULTILINE):
        program, *words = shlex.split(re.split(r" [|>;] ?", line)[0], comments=True)
        try:
            with contextlib.redirect_stderr(io.StringIO()) as errors:
                AF3MEM.parse_args(words) if program == "af3mem" else pytest_parser.parse_known_args(words)
        except SystemExit as exit:
            if exit.code:
                yield f"{line}: {errors.getvalue()}"


@each_page
def test_options_exist(page):
    assert list(wrong_options(page.read_text())) == []
    assert list(refused_commands(page.read_text())) == []


def test_wrong_options_are_found():
    code = "    af3mem measure --target l4-24gb  # a comment\n    pytest --af3-target\n"
    text = f"`--af3-tokens`, `af3mem plan --budget`, `af3mem go`\n\n{code}"
    assert list(wrong_options(text)) == ["--af3-tokens", "af3mem go", "plan --budget"]
    missing, without_value = refused_commands(text)
    assert "one of the arguments --tokens --job is required" in missing
    assert "--af3-target: expected one argument" in without_value


# The reference and the picture


def test_the_reference_is_that_of_the_code():
    reference = load("reference")
    assert reference.PAGE.read_text() == reference.render(), "the code says something new: run python docs/reference.py"


def test_the_reference_has_every_variable():
    code = "".join(path.read_text() for path in (ROOT / "pytest_af3mem").rglob("*.py"))
    text = (DOCS / "reference.md").read_text()
    assert {name for name in re.findall(r"AF3MEM_[A-Z_]*[A-Z]", code) if f"`{name}`" not in text} == set()


def test_the_picture_shows_the_line_of_the_readme(a_peak):
    line = judge(a_peak(tokens=1024, total_bytes=3_983_436_330), 7 * 2**29).line
    picture = xml.etree.ElementTree.parse(DOCS / "red-line.svg")
    shown = " ".join(" ".join("".join(text.itertext()).split()) for text in picture.iter("{http://www.w3.org/2000/svg}text"))
    assert line in shown
    for page in ("README.md", "docs/start.md"):
        assert f"    {line}\n" in (ROOT / page).read_text()


# The site


def test_the_site_loads_nothing_from_elsewhere():
    pytest.importorskip("mkdocs")
    from mkdocs.exceptions import PluginError

    hooks = load("hooks")
    page = argparse.Namespace(file=argparse.Namespace(src_uri="ci.md"))
    assert hooks.on_post_page('<a href="https://x.test/"><img src="red-line.svg">', page=page)
    for tag in ('<script src="https://x.test/a.js">', "<link rel=stylesheet href=//x.test/a.css>"):
        with pytest.raises(PluginError, match=r"ci\.md loads (https:)?//x\.test/a"):
            hooks.on_post_page(tag, page=page)


def test_links_of_the_site_are_flat():
    pytest.importorskip("mkdocs")
    markdown = "[a](docs/ci.md) [b](../CHANGELOG.md) [c](ci.md) ![d](docs/red-line.svg)"
    assert load("hooks").on_page_markdown(markdown) == "[a](ci.md) [b](CHANGELOG.md) [c](ci.md) ![d](red-line.svg)"
