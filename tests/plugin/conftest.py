"""A user's project to run pytest in, with the small models of tests/models in the place of AlphaFold 3."""

import contextlib
import json
import os
import sys
import textwrap
from pathlib import Path
from xml.etree import ElementTree

import hypothesis.strategies  # noqa: F401 (once, and not anew in each run in this process that uses it)
import pytest

# pytester takes out of `sys.modules` again what a run in this process has loaded first. A package that stays would then lead the
# next run to modules of that one, whose records are of other classes: so what a run with --af3-gpu loads is there from the start.
import pytest_af3mem.plugin.parts  # noqa: F401
from pytest_af3mem.commands import cli
from pytest_af3mem.session.child import Child
from pytest_af3mem.session.settings import Settings

MODELS = Path(__file__).parents[1] / "models"
IN_ORDER = ("-p", "no:randomly")  # tests, and so the rows of reports, are not shuffled where pytest-randomly is installed


class Project:
    """A folder with test files, and pytest with `--af3-gpu` in it."""

    models = MODELS

    def __init__(self, pytester, cache):
        self.pytester = pytester
        self.path = pytester.path
        self.cache = cache

    def write(self, **files):
        self.pytester.makepyfile(**files)

    def gate(self, *marks, test="def test_fits(): ...", **files):
        """Writes one test that has these marks, such as `af3_tokens(100)`."""
        self.write(test_fit="\n".join(["import pytest", *(f"@pytest.mark.{mark}" for mark in marks), test]), **files)

    def options(self, *arguments, model="analytic:Analytic"):
        """Of an option that is given twice the last wins, so `arguments` may differ from what stands before them."""
        usual = (f"--af3-model={model}", f"--af3-path={MODELS}", f"--af3-cache-dir={self.cache}", "--af3-json=report.json")
        return ("--af3-gpu", *usual, *arguments)

    def run(self, *arguments, model="analytic:Analytic"):
        """In this process, and without Hypothesis' plugin, which would be imported anew in each run."""
        return self.pytester.runpytest_inprocess(*IN_ORDER, "-p", "no:hypothesispytest", *self.options(*arguments, model=model))

    def accept(self, before, *arguments, **outcomes):
        """Accepts what the tests measure as the baseline memory.json; a run that was made `before` is not made again."""
        tests = str({path.name: path.read_text() for path in self.path.glob("test_*.py")})
        if tests not in before:
            result = self.run("--af3-baseline=memory.json", "--af3-update-baseline", *arguments)
            if outcomes:
                result.assert_outcomes(**outcomes)
            before[tests] = {name: (self.path / name).read_bytes() for name in ("memory.json", "report.json")}
        for name, content in before[tests].items():
            (self.path / name).write_bytes(content)

    def run_apart(self, *arguments, model="analytic:Analytic"):
        """In a process of its own."""
        return self.pytester.runpytest_subprocess(*IN_ORDER, *self.options(*arguments, model=model))

    def start(self, *arguments, model="analytic:Analytic"):
        """In a process of its own that is not waited for."""
        command = [*self.pytester._getpytestargs(), *IN_ORDER, *self.options(*arguments, model=model)]
        return self.pytester.popen(command, stdin=None, start_new_session=True)

    def where(self, model="analytic:Analytic", path=MODELS, cache=None):
        """Of `af3mem`: options that say what is measured, and where results are kept."""
        return ("--model", model, "--path", str(path), "--cache-dir", str(cache or self.cache))

    def measurements(self, file="report.json"):
        return json.loads((self.path / file).read_text())["measurements"]

    def junit(self):
        """Of each test: its name, and the message of its failure or of its being skipped."""
        outcomes = {case.get("name"): [part for part in case if part.tag != "properties"] for case in self._cases()}
        return {name: found[0].get("message") if found else None for name, found in outcomes.items()}

    def junit_properties(self):
        """Of each test: its properties, as pairs."""
        return {
            case.get("name"): [(part.get("name"), part.get("value")) for part in case.iter("property")] for case in self._cases()
        }

    def _cases(self):
        return ElementTree.parse(self.path / "junit.xml").iter("testcase")


def analytic_bytes(bucket, width=32):
    """What the model in tests/models/analytic.py needs: weights, positions, sums and pairs."""
    return 4 * (width + bucket + bucket + bucket**2)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    for name in os.environ:
        if name.startswith(("AF3", "GITHUB_", "PYTEST_XDIST", "XLA_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("shared-cache")


@pytest.fixture(scope="module")
def before():
    """For `Project.accept`: what runs left that tests of the same module had made."""
    return {}


@pytest.fixture
def project(pytester, shared_cache):
    """A project whose results are kept for other tests, which then need not compile."""
    return Project(pytester, shared_cache)


@pytest.fixture
def cold_project(pytester, tmp_path):
    """A project for which nothing was measured before."""
    return Project(pytester, tmp_path / "cache")


@pytest.fixture
def af3mem(project, capsys):
    """Runs a command with a model of tests/models: exit status, standard output, standard error."""

    def run(command, *arguments, **where):
        status = cli.main([command, *project.where(**where), *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


@pytest.fixture(scope="session")
def needed_bytes():
    return analytic_bytes


STAND_IN = """#!{python}
import json, os, signal, subprocess, sys, time
from pathlib import Path
options = json.loads(sys.argv[3])
folder = Path({folder!r})
def raw(data): os.write(options["replies"], data)
def say(**reply): raw(json.dumps(reply).encode() + b"\\n")
def reply(value, **more): say(number=message["number"], value=value, **more)
def fail(error, text): say(number=message["number"], error=error, text=text)
def note(text): print(text, file=(folder / "noted").open("a"), flush=True)
def wait_for(name):
    while not (folder / name).exists(): time.sleep(0.01)
{first}
for line in sys.stdin:
    message = json.loads(line)
{code}
"""


@pytest.fixture
def stand_in(tmp_path):
    """Makes a program for the place of a worker's interpreter that does `first` and then `code` for each message.

    The code has `message`, `options`, and the functions above. It reads and writes in the folder `tmp_path`.
    """

    def make(code, first=""):
        path = tmp_path / "python"
        code = textwrap.indent(textwrap.dedent(code).strip(), "    ")
        path.write_text(STAND_IN.format(python=sys.executable, folder=str(tmp_path), first=first, code=code))
        path.chmod(0o755)
        return str(path)

    return make


@pytest.fixture
def started(stand_in, tmp_path):
    """Starts a stand-in for a worker that does `code` for each message."""
    with contextlib.ExitStack() as children:

        def start(code, first=""):
            settings = Settings(python=stand_in(code, first), cache_dir=tmp_path)
            one = Child(settings, tmp_path, tmp_path, {})
            children.callback(one.release)
            return one

        yield start
