"""The process that compiles: ended when the plan of the buffers is there, and whatever befalls it is said."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from waiting import happens

from pytest_af3mem.errors import NotJudged
from pytest_af3mem.worker.xla import compile_process
from pytest_af3mem.worker.xla.compile_process import Compiler, Job
from pytest_af3mem.worker.xla.program import of_plan

KIB, MIB = 2**10, 2**20
JOB = Job(b"a program" * 10_000, b"options")


@pytest.fixture
def process(tmp_path, temporary, monkeypatch):
    """Makes `code` what a process does, which has the folder `dump`; what they left in the end is nothing."""

    def process(code):
        main = tmp_path / "main.py"
        main.write_text(
            "import os, signal, sys, time\nfrom pathlib import Path\n"
            "dump = Path(sys.argv[1], 'dump')\ndump.mkdir()\n"
            "def write(name, data): (dump / f'module_0001.jit_program.{name}').write_bytes(data)\n" + textwrap.dedent(code)
        )
        monkeypatch.setattr(compile_process, "_MAIN", main)

    yield process
    assert list(temporary.iterdir()) == []


@pytest.fixture
def compiling(process):
    """The plan as a process gives it that does `code`."""

    def compiling(code):
        process(code)
        output = Compiler("a target").plan(JOB)
        return output and output.content

    return compiling


PLANNED = """
    write("before_optimizations.hlo.pb", b"another")
    write("sm_9.0a_gpu_after_optimizations.hlo.pb", b"the plan")
"""
WAITING = f"    sys.stdin.readline()\n{PLANNED}"


def test_a_compile_ends_when_the_plan_is_there(compiling):
    code = f'{PLANNED}\n    write("sm_9.0a_gpu_after_optimizations-memory-usage-report.pb", b"")\n    time.sleep(3600)'
    assert compiling(code) == b"the plan"


def test_a_plan_without_a_report_is_taken_when_the_process_has_ended(compiling):
    assert compiling(PLANNED) == b"the plan"


def test_a_plan_takes_as_many_threads_as_it_is_given(process):
    process("""
    sys.stdin.readline()
    options = Path(sys.argv[1], "job.json").read_text()
    write("sm_9.0a_gpu_after_optimizations.hlo.pb", options.encode())
""")
    for threads in (None, 3):
        asked = json.loads(Compiler("a target", threads).plan(JOB).content)["options"]
        assert asked.get("xla_gpu_force_compilation_parallelism") == threads


@pytest.mark.parametrize("code", ["", "raise AttributeError('another jaxlib')"])
def test_a_process_that_writes_no_plan_leaves_the_compile_to_the_worker(compiling, code):
    assert compiling(code) is None


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("print('F0000 check failed: rank'); sys.stdout.flush(); os.abort()", "(SIGABRT): F0000 check failed: rank"),
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            "(SIGKILL: most often the kernel's answer to too little host memory; --af3-workers 1 needs less): it said nothing",
        ),
    ],
)
def test_a_process_that_dies_is_not_judged(compiling, code, text):
    with pytest.raises(NotJudged) as caught:
        compiling(code)
    assert str(caught.value) == f"the process that compiles died {text}"


def test_a_full_disk_is_not_judged(compiling, tmp_path):
    said = "E0000 dump.cc:245] Could not write XLA debug data to /t/a.hlo.pb: UNKNOWN: /t/a.hlo.pb; No space left on device"
    with pytest.raises(
        NotJudged, match=r"^XLA's plan cannot be written to .*temporary \(.*No space left on device\): set \$TMPDIR"
    ):
        compiling(f"{PLANNED}\n    print({said!r})")


def test_a_temporary_folder_that_is_not_there_is_not_judged(compiling, monkeypatch, tmp_path):
    monkeypatch.setattr(compile_process.tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(NotJudged, match=r"^XLA's plan cannot be written to .*gone \(No such file or directory\): set \$TMPDIR"):
        compiling("")


@pytest.mark.parametrize("plan", [b"", b"\x0a\x09x", b"no protocol buffer"])
def test_a_plan_that_is_not_whole_is_not_judged(plan):
    with pytest.raises(NotJudged, match=r"^XLA's plan of the buffers cannot be read: ValueError: "):
        of_plan(plan, None, ())


@pytest.fixture
def ahead(process, monkeypatch, tmp_path):
    """Makes `code` what a process does that is started at once and then waits for its program; gives their numbers so far."""
    monkeypatch.setattr(compile_process, "_AHEAD_SECONDS", 0)
    started = tmp_path / "started"
    started.touch()

    def ahead(code=WAITING):
        write = f"with open({str(started)!r}, 'a') as file: print(os.getpid(), file=file)\n"
        process(write + textwrap.dedent(code))
        return lambda: started.read_text().split()

    return ahead


def is_gone(number):
    return not Path("/proc", number).exists()  # waited for as well


def test_a_process_that_waits_compiles_the_program_that_comes(ahead):
    started = ahead()
    with Compiler("a target") as compiler:
        assert happens(started)
        assert compiler.plan(JOB).content == b"the plan"
        (number,) = started()
        assert is_gone(number)


def test_each_further_program_has_a_process_of_its_own(ahead):
    started = ahead()
    with Compiler("a target") as compiler:
        assert [compiler.plan(JOB).content for _ in range(3)] == [b"the plan"] * 3
    assert len(set(started())) == 3
    assert all(map(is_gone, started()))


def test_a_process_that_nobody_used_ends(ahead):
    """As where an equal program is known, or the program is small."""
    started = ahead()
    with Compiler("a target") as compiler:
        assert happens(started)
        assert compiler.plan(Job(b"a small program", b"options")) is None
    assert all(map(is_gone, started()))


def test_a_process_that_waits_ends_where_the_model_does_not_trace(ahead):
    started = ahead()

    def trace():
        assert happens(started)
        raise NotJudged("the model does not trace")

    with pytest.raises(NotJudged, match="the model does not trace"), Compiler("a target"):
        trace()
    assert all(map(is_gone, started()))


def test_a_program_that_is_traced_soon_starts_no_process(ahead, monkeypatch):
    started = ahead()
    monkeypatch.setattr(compile_process, "_AHEAD_SECONDS", 3600)
    before = threading.active_count()
    with Compiler("a target"):
        pass
    assert happens(lambda: threading.active_count() == before)
    assert started() == []


def test_a_variable_that_was_set_meanwhile_reaches_the_compiler(ahead, monkeypatch):
    started = ahead(WAITING.replace('b"the plan"', "os.environb[b'XLA_FLAGS']"))
    monkeypatch.setenv("XLA_FLAGS", "--before")
    with Compiler("a target") as compiler:
        assert happens(started)
        monkeypatch.setenv("XLA_FLAGS", "--after")
        assert compiler.plan(JOB).content == b"--after"
    assert len(started()) == 2
    assert all(map(is_gone, started()))


def test_a_process_that_died_while_it_waited_is_not_judged(ahead):
    started = ahead("os.kill(os.getpid(), signal.SIGKILL)")
    with Compiler("a target") as compiler:
        assert happens(lambda: started() and "\nState:\tZ" in Path("/proc", started()[0], "status").read_text())
        with pytest.raises(NotJudged, match=r"^the process that compiles died \(SIGKILL: "):
            compiler.plan(JOB)
    assert len(started()) == 1


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize(
    "code",
    ["c.Compiler('').plan(c.Job(bytes(10**6), b''))", "with c.Compiler(''): time.sleep(3600)"],
    ids=["compiling", "waiting"],
)
def test_a_process_whose_parent_is_killed_ends(tmp_path, code, end):
    """Here while it imports JAX, which never comes to an end."""
    site = tmp_path / "jax"
    (site / "_src").mkdir(parents=True)
    (site / "_src" / "__init__.py").write_text("")
    (site / "__init__.py").write_text(
        f"import os, time\nfrom pathlib import Path\nPath({str(tmp_path)!r}, 'unfinished').write_text(str(os.getpid()))\n"
        f"Path({str(tmp_path)!r}, 'unfinished').rename(Path({str(tmp_path)!r}, 'process'))\ntime.sleep(3600)\n"
    )
    code = f"import time\nfrom pytest_af3mem.worker.xla import compile_process as c\nc._AHEAD_SECONDS = 0\n{code}"
    path = [str(tmp_path), str(Path(compile_process.__file__).parents[3])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, start_new_session=True) as parent:
        assert happens((tmp_path / "process").exists)
        process = Path("/proc", (tmp_path / "process").read_text())
        assert process.exists()
        parent.send_signal(end)
    assert happens(lambda: not process.exists() or "\nState:\tZ" in (process / "status").read_text())


BOTH_WAYS = """
import dataclasses, json, os, sys, tempfile
from pathlib import Path
from pytest_af3mem.worker.environment import ENVIRONMENT
os.environ.update(ENVIRONMENT)
from pytest_af3mem import gpus
from pytest_af3mem.worker.xla import compile_process, program, target
import analytic, fused
found, compile_process._AHEAD_SECONDS = [], 0
gpu = gpus.find("a100-40gb")
toolchain = target.toolchain(Path(tempfile.mkdtemp()))
for model in (analytic.Analytic(), fused.Fused()):
    batch = model.featurise(sys.argv[1], model.buckets())
    forward = model.forward({}, gpu.compute_capability)
    import jax
    parameters = jax.eval_shape(forward.init, jax.random.PRNGKey(0), batch.features)
    for smallest in (0, 2**60):
        compile_process._SMALL_BYTES = smallest
        jax.clear_caches()
        found.append(dataclasses.asdict(program.measure(forward, parameters, batch.features, gpu, toolchain, model.packages)))
print(json.dumps(found))
"""


def test_a_plan_says_what_a_whole_compile_says(tmp_path):
    """To the byte and in every holder, of a model of plain operations and of one with a kernel of its own."""
    models = Path(__file__).parents[1] / "models"
    job = json.dumps({"sequences": [{"protein": {"id": ["A"], "sequence": "M" * 100}}]})
    path = os.pathsep.join([str(Path(compile_process.__file__).parents[3]), str(models)])
    environment = {**os.environ, "PYTHONPATH": path, "TMPDIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", BOTH_WAYS, job], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    plain, plain_whole, fused, fused_whole = json.loads(run.stdout.splitlines()[-1])
    assert plain == plain_whole
    assert fused == fused_whole
    assert (plain["temp_bytes"], plain["kernels"]["triton"], fused["kernels"]["triton"]) == (4 * 128**2, 0, 1)
    assert "analytic.py:" in str(plain["attribution"]["holders"])


@pytest.mark.parametrize("size", [64 * MIB, 32 * KIB], ids=["large", "small"])
def test_arrays_that_a_model_closes_over_are_judged(cold_project, needed_bytes, size):
    cold_project.write(
        test_fit="def test_any(gpu_peak): gpu_peak(tokens=100)",
        closing=f"""
        import analytic, dataclasses

        class Closing(analytic.Analytic):
            packages = ("analytic", "closing")

            def forward(self, settings, compute_capability):
                import jax.numpy as jnp
                import numpy as np

                forward = super().forward(settings, compute_capability)
                table = np.random.default_rng(0).random({size} // 4, np.float32)

                def apply(parameters, key, features):
                    return forward.apply(parameters, key, features), jnp.asarray(table)[features["positions"].astype(int)]

                return dataclasses.replace(forward, apply=apply)
        """,
    )
    assert cold_project.run("--af3-model=closing:Closing").ret == 0
    (peak,) = cold_project.measurements()
    assert peak["constant_bytes"] == size
    assert peak["total_bytes"] == sum(holder["bytes"] for holder in peak["holders"])
    assert ("constant", size) in [(holder["kind"], holder["bytes"]) for holder in peak["holders"]]
    assert 0 <= peak["total_bytes"] - size - needed_bytes(128) <= 4 * KIB
