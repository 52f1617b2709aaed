"""What cannot be is said in one line: argument, value, rule and way out. No traceback, and nothing is measured."""

import re
import sys
import venv

import pytest

INSTALL = 'pip install "pytest-af3mem[alphafold3]"'
ONE_TEST = "def test_any(gpu_peak): gpu_peak(tokens=100)"

OPTIONS = {
    "--af3-target=h100": "unknown target 'h100': did you mean h100-80gb? (all: af3mem doctor)",
    "--af3-target=gtx-1080": "unknown target 'gtx-1080' (all: af3mem doctor)",
    "--af3-method=guess": "--af3-method 'guess' is not one of auto, compiled, run",
    "--af3-model=:Model": "model ':Model' cannot be loaded: Empty module name",
    "--af3-model=nowhere:Model": "model 'nowhere:Model' cannot be loaded: No module named 'nowhere'",
    "--af3-model=analytic:Other": "model 'analytic:Other' cannot be loaded: module 'analytic' has no attribute 'Other'",
    "--af3-model=misbehaving:Unfinished": "model 'misbehaving:Unfinished' is not a pytest_af3mem Model, for it has "
    "no packages, settings, distribution, buckets, components, prepare, featurise, forward: see docs/models.md",
    "--af3-model=misbehaving:NotInstalled": "analytic needs its weights: pip install analytic-weights",
    "--af3-buckets=512,256": "--af3-buckets '512,256' must be increasing whole numbers of tokens, like 256,512,1024",
    "--af3-buckets=many": "--af3-buckets 'many' must be increasing whole numbers of tokens, like 256,512,1024",
    "--af3-workers=0": "--af3-workers '0' must be a whole number of at least 1",
    "--af3-timeout=1.5": "--af3-timeout '1.5' must be a whole number of at least 1",
    "--af3-path=nowhere": "--af3-path 'nowhere' is not a folder: give the one that holds the model's package",
    "--af3-python=nowhere": "--af3-python 'nowhere' is not a program that can be run: "
    "give the path of a Python that holds AlphaFold 3",
    "--af3-json=.": "--af3-json '.' is a folder: give the name of a file",
    "--af3-json=test_any.py/new/report.json": "--af3-json 'test_any.py/new/report.json' cannot be written (Not a directory): "
    "choose another place",
    "--override-ini=af3_target=h100": "unknown target 'h100': did you mean h100-80gb? (all: af3mem doctor)",
    "--override-ini=af3_no_cache=maybe": "af3_no_cache is a switch: 'maybe' is neither true nor false",
}

OPTIONS_OF_A_JOB = "options: chains, kinds, copies, ligands, smiles, modifications, msa_depth, paired_msa_depth, templates, seed"
NO_SIZE = "af3_tokens needs at least one size, like af3_tokens(512), or every bucket up to one: af3_tokens(up_to=2048)"
MARKERS = {
    "af3_tokens()": NO_SIZE,
    "af3_tokens(up_to=0)": "tokens=0 must be a whole number from 1 to 100,000",
    "af3_tokens(0)": "tokens=0 must be a whole number from 1 to 100,000",
    "af3_tokens(-512)": "tokens=-512 must be a whole number from 1 to 100,000",
    "af3_tokens(512.5)": "tokens=512.5 must be a whole number from 1 to 100,000",
    "af3_tokens('512')": "tokens='512' must be a whole number from 1 to 100,000",
    "af3_tokens(True)": "tokens=True must be a whole number from 1 to 100,000",
    "af3_tokens(100, 10**9)": "tokens=1000000000 must be a whole number from 1 to 100,000",
    "af3_tokens(512, chain=2)": f"'chain' is not an option of a generated job; did you mean chains? ({OPTIONS_OF_A_JOB})",
    "af3_tokens(512, chains=0)": "chains=0 must be a whole number of at least 1",
    "af3_tokens(512, msa_depth=-1)": "msa_depth=-1 must be a whole number of at least 0",
    "af3_tokens(512, seed='x')": "seed='x' must be a whole number of at least 0",
    "af3_tokens(512, ligands=3)": "ligands=3 must be like 'ATP+MG', or a list of such words",
    "af3_tokens(512, kinds='protein+dna+xna')": "kinds='protein+dna+xna' must be of protein, rna, dna, like 'protein+rna'",
    "af3_tokens(512, kinds='dna', msa_depth=5)": "msa_depth=5: only proteins and RNA have that, and kinds is dna",
    "af3_tokens(512, up_to=1024)": "af3_tokens(512, up_to=1024): sizes and up_to exclude each other: leave one out",
    "af3_tokens(512, 2, chains=3)": "tokens=2 is too few for 3 chains: at least 3",
    "af3_budget()": 'af3_budget takes one size and perhaps a target, like af3_budget("16 GiB", target="a100-40gb")',
    "af3_budget('1 GiB', targets='l4')": "af3_budget takes one size and perhaps a target, "
    'like af3_budget("16 GiB", target="a100-40gb")',
    "af3_budget('1 GiB', target='l4')": "unknown target 'l4': did you mean l4-24gb? (all: af3mem doctor)",
    "af3_budget('24 Bananas')": "af3_budget '24 Bananas' is not a size: write '16 GiB', '16 GB', '95 %' or a number of bytes",
    "af3_budget(1.5)": "af3_budget 1.5 is not a size: write '16 GiB', '16 GB', '95 %' or a number of bytes",
    "af3_budget(0)": "af3_budget 0 must be more than 0",
    "af3_budget('0 GiB')": "af3_budget '0 GiB' must be more than 0",
    "af3_budget('0 %')": "af3_budget '0 %' must be more than 0",
    "af3_budget('120 %')": "af3_budget '120 %' is more than the whole GPU: a percentage is at most 100 %",
    "af3_model(3)": "af3_model takes settings by name, like af3_model(num_samples=1), not 3",
    "af3_model(widht=3)": "analytic has no setting 'widht'; did you mean width? (or use a dotted path)",
    "af3_model(width={1, 2})": "width={1, 2} must be a finite number, a text, true, false, none, or a list of these",
}

CALLS = {
    "": "gpu_peak() needs a size: gpu_peak(tokens=512), or mark the test with af3_tokens(512)",
    "512": "gpu_peak(512): give a Job, or the size by name, like gpu_peak(tokens=512)",
    "tokens=0": "tokens=0 must be a whole number from 1 to 100,000",
    "tokens='512'": "tokens='512' must be a whole number from 1 to 100,000",
    "tokens=512, chains=1.0": "chains=1.0 must be a whole number of at least 1",
    "tokens=2, chains=3": "tokens=2 is too few for 3 chains: at least 3",
    "tokens=512, ligands='ATP'": "ligand 'ATP' cannot be counted: this model has no chemical component dictionary",
    "tokens=512, target='h100'": "unknown target 'h100': did you mean h100-80gb? (all: af3mem doctor)",
    "tokens=512, target=80": "unknown target 80 (all: af3mem doctor)",
    "tokens=512, method='guess'": "method 'guess' is not one of auto, compiled, run",
    "tokens=512, chain=2": f"'chain' is not an option of a generated job; did you mean chains? ({OPTIONS_OF_A_JOB})",
}


@pytest.fixture
def refused(project):
    """The one line with which a run ends, before any test ran."""

    def run(*options, model="analytic:Analytic"):
        project.write(test_any=ONE_TEST)
        result = project.run(*options, model=model)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert "Traceback" not in result.stdout.str() + result.stderr.str()
        assert not (project.path / "report.json").exists()
        (line,) = filter(None, result.errlines)
        return line.removeprefix("ERROR: ")

    return run


@pytest.mark.parametrize(("option", "line"), OPTIONS.items(), ids=OPTIONS)
def test_options(refused, option, line):
    assert refused(option) == line


def test_an_unknown_model(refused):
    assert refused("--af3-model=alphafold4").startswith("unknown model 'alphafold4'; did you mean alphafold3")


def test_a_cache_that_cannot_be_written(refused, project):
    folder = project.path / "test_any.py" / "cache"
    way_out = "choose another with --af3-cache-dir or $AF3MEM_CACHE_DIR"
    line = f"the cache folder {folder} cannot be written (Not a directory): {way_out}"
    assert refused("--af3-cache-dir=test_any.py/cache") == line


def test_variables_of_the_environment(refused, monkeypatch):
    monkeypatch.setenv("AF3MEM_WORKERS", "0")
    assert refused() == "AF3MEM_WORKERS '0' must be a whole number of at least 1"


def test_markers_are_checked_when_tests_are_collected(project):
    names = [f"test_{number}" for number in range(len(MARKERS))]
    template = "import pytest\n\n@pytest.mark.{}\ndef test_any(gpu_peak): ..."
    project.write(**{name: template.format(marker) for name, marker in zip(names, MARKERS, strict=True)})
    result = project.run()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "Traceback" not in result.stdout.str()
    lines = dict(re.findall(r"^(test_\d+)\.py::test_any: (.*)", result.stdout.str(), re.MULTILINE))
    assert {marker: lines.get(name) for name, marker in zip(names, MARKERS, strict=True)} == MARKERS
    assert project.measurements() == []


def test_a_budget_without_a_size_to_measure(project):
    project.write(test_any="import pytest\n\n@pytest.mark.af3_budget('1 GiB')\ndef test_any(): ...")
    line = "af3_budget has no size to measure: add af3_tokens(...), or call the gpu_peak fixture in the test"
    for result in (project.run(), project.pytester.runpytest_inprocess()):
        assert result.ret == pytest.ExitCode.INTERRUPTED
        result.stdout.fnmatch_lines([f"test_any.py::test_any: {line}"])


def test_calls_of_the_fixture(project):
    calls = "\n".join(f"def test_{number}(gpu_peak): gpu_peak({call})" for number, call in enumerate(CALLS))
    project.write(test_any=f"{calls}\n\ndef test_good(gpu_peak): gpu_peak(tokens=100)")
    result = project.run("--junitxml=junit.xml")
    result.assert_outcomes(failed=len(CALLS), passed=1)
    assert "Traceback" not in result.stdout.str()
    messages = project.junit()
    assert {call: messages[f"test_{number}"] for number, call in enumerate(CALLS)} == {
        call: f"Failed: {line}" for call, line in CALLS.items()
    }


@pytest.mark.parametrize(
    ("size", "line"),
    [
        ("'24 Bananas'", "size '24 Bananas' is not a size: write '16 GiB', '16 GB', '95 %' or a number of bytes"),
        ("'200 %'", "size '200 %' is more than the whole GPU: a percentage is at most 100 %"),
        ("'0 GiB'", "size '0 GiB' must be more than 0"),
    ],
)
def test_comparing_with_what_is_no_size(project, size, line):
    project.write(test_any=f"def test_any(gpu_peak): assert gpu_peak(tokens=100) <= {size}")
    project.run("--junitxml=junit.xml").assert_outcomes(failed=1)
    assert project.junit() == {"test_any": f"pytest_af3mem.errors.UsageError: {line}"}


# -- Interpreters


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory):
    """An interpreter that holds the standard library alone."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True)
    return folder / "bin" / "python"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Makes distributions look installed to interpreters that start from now on."""

    def install(**versions):
        for name, version in versions.items():
            folder = tmp_path / "site" / f"{name}-{version}.dist-info"
            folder.mkdir(parents=True)
            (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))

    return install


def test_an_interpreter_without_alphafold3(refused, bare_python):
    line = f"AlphaFold 3 is not installed in {bare_python}: {INSTALL} (it needs Python 3.12 or 3.13)"
    assert refused(f"--af3-python={bare_python}", model="alphafold3") == line


def test_an_interpreter_without_jax(refused, bare_python):
    assert refused(f"--af3-python={bare_python}") == f"JAX is not installed in {bare_python}: {INSTALL}"


def test_a_jax_without_its_cuda_plugin(refused, bare_python, installed):
    installed(jax="0.10.2", jaxlib="0.10.2")
    line = f"jax 0.10.2 in {bare_python} has no CUDA plugin, which compiles for GPUs: {INSTALL}"
    assert refused(f"--af3-python={bare_python}") == line


def test_a_jax_too_old_to_compile_without_a_device(refused, bare_python, installed):
    installed(jax="0.4.38", jax_cuda12_plugin="0.4.38")
    line = f"jax 0.4.38 in {bare_python} is too old to compile without a GPU (oldest: 0.7.2): {INSTALL}"
    assert refused(f"--af3-python={bare_python}") == line


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 10, 13)])
def test_an_interpreter_too_old(refused, tmp_path, version):
    old = tmp_path / "python"
    pretend = f"import sys; sys.version_info = {version}; sys.executable = '{old}'; exec(sys.argv.pop(1))"
    old.write_text(f'#!/bin/sh\nshift\nexec "{sys.executable}" -c "{pretend}" "$@"\n')
    old.chmod(0o755)
    number = "{}.{}".format(*version)
    line = f"{old} is Python {number}, too old: give one that holds AlphaFold 3 (Python 3.12 or 3.13)"
    assert refused(f"--af3-python={old}") == line


def test_a_program_that_is_no_interpreter(refused, tmp_path):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho cannot do this >&2\nexit 5\n")
    program.chmod(0o755)
    line = refused(f"--af3-python={program}")
    assert line == f"--af3-python {program} does not work as a Python (exit status 5): cannot do this"
