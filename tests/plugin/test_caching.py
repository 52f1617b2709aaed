import json
import shutil

import pytest


@pytest.fixture
def gate(cold_project):
    """A gate over three sizes in two buckets, of a model that notes when it is traced."""
    cold_project.gate("af3_tokens(90, 100, 200)", 'af3_budget("1 MiB")')
    return cold_project


@pytest.fixture
def run(gate):
    def run(*options):
        result = gate.run(*options, model="misbehaving:Misbehaving")
        result.assert_outcomes(passed=3)
        return result

    return run


@pytest.fixture
def workers(gate):
    """Of each program that was compiled so far, the process that did it."""
    return lambda: (gate.path / "traced").read_text().splitlines()


@pytest.fixture
def compiles(workers):
    """How many programs were compiled so far."""
    return lambda: len(workers())


@pytest.fixture(scope="module")
def first_run(tmp_path_factory):
    """Where the first run of a test that needs a filled cache is kept for the others."""
    return tmp_path_factory.mktemp("first") / "run"


@pytest.fixture
def measured(gate, run, first_run):
    """The gate was run once: a test of this module did so, with no cache, and the others have copies of what it left."""
    left = {"cache": gate.cache, "traced": gate.path / "traced", "report.json": gate.path / "report.json"}
    if not first_run.exists():
        run()
        first_run.mkdir()
        _copy(left, {name: first_run / name for name in left})
    else:
        _copy({name: first_run / name for name in left}, left)


def _copy(sources, places):
    for name, source in sources.items():
        (shutil.copytree if source.is_dir() else shutil.copy)(source, places[name])


def test_the_same_question_is_not_compiled_twice(gate, run, compiles):
    run("--af3-workers=1")
    assert [row["cached"] for row in gate.measurements()] == [False, True, False]
    assert compiles() == 2
    first = gate.measurements()
    result = run()
    result.stdout.fnmatch_lines(["    90 * 65.12 KiB *  within   triton 0  cached  test_fit.py::test_fits[[]90[]]"])
    assert compiles() == 2
    assert gate.measurements() == [row | {"cached": True, "seconds": 0.0} for row in first]


@pytest.mark.parametrize("number", [1, 2])
def test_different_questions_are_answered_at_once(run, workers, number):
    run(f"--af3-workers={number}")
    assert (len(workers()), len(set(workers()))) == (2, number)


def test_settings_and_targets_are_other_questions(gate, run, compiles, measured):
    run("--af3-target=a100-40gb")
    assert not all(row["cached"] for row in gate.measurements())
    assert compiles() == 4


def test_another_environment_is_another_question(gate, run, compiles, measured, monkeypatch):
    monkeypatch.setenv("AF3_SHARDS", "4")
    run()
    assert compiles() == 4
    monkeypatch.setenv("UNRELATED", "4")
    run()
    assert compiles() == 4
    assert gate.measurements()[0]["software"]["environment"].startswith("AF3_SHARDS=4 JAX_")


def test_editing_one_line_of_the_model_is_measured_anew(gate, run, compiles, needed_bytes):
    models = shutil.copytree(gate.models, gate.path / "models", ignore=shutil.ignore_patterns("__pycache__"))
    source = models / "analytic.py"
    original = source.read_text()

    def totals():
        run(f"--af3-path={models}")
        return [row["total_bytes"] for row in gate.measurements()][1:]

    assert totals() == [needed_bytes(128), needed_bytes(256)]
    source.write_text(original.replace('settings.get("width", 32)', 'settings.get("width", 64)'))
    assert totals() == [needed_bytes(128, 64), needed_bytes(256, 64)]
    assert compiles() == 4
    source.write_text(f"{original}\n# another comment\n")
    assert totals() == [needed_bytes(128), needed_bytes(256)]
    assert compiles() == 6
    source.write_text(original)
    assert totals() == [needed_bytes(128), needed_bytes(256)]
    assert compiles() == 6


@pytest.mark.parametrize("changed", ["other.py", "other:Wider"])
def test_the_module_and_the_name_of_a_model_count_by_themselves(cold_project, needed_bytes, changed):
    """Also where its `packages` leave them out."""
    cold_project.write(
        test_fit="def test_any(gpu_peak): gpu_peak(tokens=100)",
        other="""
        import analytic

        class Model(analytic.Analytic):
            packages = ()

            def forward(self, settings, compute_capability):
                return super().forward({"width": self.width}, compute_capability)

            width = 10

        class Wider(Model):
            width = 20
        """,
    )
    source = cold_project.path / "other.py"
    assert cold_project.run("--af3-model=other:Model").ret == 0
    if changed == "other.py":
        source.write_text(source.read_text().replace("width = 10", "width = 20"))
        changed = "other:Model"
    assert cold_project.run(f"--af3-model={changed}").ret == 0
    assert cold_project.measurements()[0]["total_bytes"] == needed_bytes(128, 20)


def _with_another_number(text):
    entry = json.loads(text)
    entry["value"]["total_bytes"] = 1
    return json.dumps(entry)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda text: "", "Expecting value: line 1 column 1 (char 0)"),
        (lambda text: text.partition("total_bytes")[0], "Unterminated string*"),
        (lambda text: "[]", "list indices must be integers or slices, not str"),
        (_with_another_number, "its checksum does not match"),
    ],
    ids=["empty", "cut", "other JSON", "another number"],
)
def test_a_damaged_entry_is_measured_again_and_reported(gate, run, compiles, measured, damage, problem):
    (entry, *_) = sorted((gate.cache / "peaks").glob("*.json"))
    entry.write_text(damage(entry.read_text()))
    result = run()
    line = f"cache entry {entry} is damaged ({problem}); measured again"
    result.stdout.fnmatch_lines(["*= GPU memory of AlphaFold 3 =*", line])
    assert result.stdout.str().count("is damaged") == 1
    assert compiles() == 3
    assert "is damaged" not in run().stdout.str()
    assert all(row["cached"] for row in gate.measurements())
    assert compiles() == 3


def test_without_cache_nothing_is_read_or_kept(gate, run, compiles):
    run("--af3-no-cache", "--af3-workers=1")
    kept = {path.name for path in gate.cache.iterdir()}
    assert not kept & {"peaks", "signatures"}
    compiled = compiles()
    run()
    assert compiles() == compiled + 2
    run("--af3-no-cache", "--af3-workers=1")
    assert compiles() == 2 * compiled + 2
    assert [row["cached"] for row in gate.measurements()] == [False, True, False]  # 90 and 100 tokens are one program


def test_two_runs_at_once_compile_once(gate, compiles):
    processes = [gate.start(f"--af3-json={name}.json", model="misbehaving:Misbehaving") for name in ("left", "right")]
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    assert compiles() == 2
    left, right = ([row["total_bytes"] for row in gate.measurements(f"{name}.json")] for name in ("left", "right"))
    assert left == right


def test_the_default_folder(gate, monkeypatch, pytester):
    monkeypatch.setenv("XDG_CACHE_HOME", str(gate.path / "home"))
    options = [option for option in gate.options() if not option.startswith("--af3-cache-dir")]
    assert pytester.runpytest_subprocess(*options, "-k", "100").ret == 0
    folder = gate.path / "home" / "pytest-af3mem"
    assert len(list((folder / "peaks").glob("*.json"))) == 1
    assert (folder / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
