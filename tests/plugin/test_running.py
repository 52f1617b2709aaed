"""`run` on a machine without a GPU: refused with the reason; rehearsed and run in sequence on JAX's CPU device."""

import contextlib
import dataclasses
import importlib.util
import os
import sys
from pathlib import Path

import pytest

from pytest_af3mem import commands
from pytest_af3mem.errors import NotJudged, OutOfMemory
from pytest_af3mem.gpus import lock as gpu_lock
from pytest_af3mem.gpus.nvml import visible_gpus
from pytest_af3mem.records.answering import Answer
from pytest_af3mem.records.peak import Phase, Phases, Run
from pytest_af3mem.session import reproduce
from pytest_af3mem.session.children import Children
from pytest_af3mem.session.gpu_runs import GpuRuns
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings
from pytest_af3mem.worker import environment as worker_environment

STAND_INS = Path(__file__).parents[1] / "stand_ins"
no_gpu_here = pytest.mark.skipif(bool(visible_gpus()[0]), reason="shows what happens without a GPU")


def session_of(project):
    settings = Settings(model="analytic:Analytic", path=project.models, cache_dir=project.cache, timeout=120)
    with contextlib.closing(Session(settings)) as session:
        yield session


@pytest.fixture
def session(cold_project):
    yield from session_of(cold_project)


@pytest.fixture
def warm_session(project):
    """What is compiled may have been compiled for other tests."""
    yield from session_of(project)


@no_gpu_here
def test_run_without_a_gpu_is_not_judged(project):
    project.gate("af3_tokens(100)", 'af3_budget("1 GiB")')
    project.run("--af3-method=run", "--junitxml=junit.xml").assert_outcomes(failed=1)
    reason = "no GPU is visible (no NVIDIA driver: NVML Shared Library Not Found); --af3-method compiled needs no GPU"
    assert project.junit() == {
        "test_fits[100]": f"Failed: GPU peak not judged: {reason} [100 tokens, bucket 128, h100-80gb, run]"
    }
    (row,) = project.measurements()
    assert (row["verdict"], row["reason"], row["total_bytes"], row["run"]) == ("not judged", reason, None, None)


@no_gpu_here
def test_auto_compiles_without_a_gpu(project):
    project.write(test_fit="def test_any(gpu_peak): assert gpu_peak(tokens=100, method='auto').method == 'compiled'")
    project.run("--af3-method=auto").assert_outcomes(passed=1)


def test_a_rehearsal_makes_every_step_and_no_number(session):
    found = session.pool.gpu_runs.rehearse(session.request(tokens=100, method="run"))
    assert [text for text, _ in found["steps"]] == [
        "importing the model",
        "featurising",
        "setting up the network",
        "reading the shapes of the parameters",
        "putting parameters and features on the device",
        "compiling",
        "running",
        "running again",
    ]
    assert found["reason"].startswith("JAX ran on cpu (cpu) and not on a GPU, ")
    assert not {"peak", "total_bytes"} & found.keys()


def test_a_rehearsal_of_both_processes(session):
    """The second loads the program, and neither says another environment: a measurement's identity is the same."""
    first, second = session.pool.gpu_runs.rehearsals(session.request(tokens=100, method="run"))
    assert [(one["from_cache"], one["counted"]) for one in (first, second)] == [(False, False), (True, False)]
    assert first["looked"] == second["looked"]
    assert first["looked"] == ["start", "parameters", "features", "compile", "first run", "second run", "end"]
    assert [text for text, _ in second["steps"]][-3:] == ["compiling", "running", "running again"]
    assert not list(session.pool._scratch.path.glob("programs-*"))


def test_a_sequence_that_leaves_nothing(session):
    sequence = session.pool.gpu_runs.sequence([session.request(tokens=size, method="run") for size in (100, 200)])
    assert [(step.tokens, step.bucket) for step in (*sequence.steps, sequence.alone)] == [(100, 128), (200, 256), (200, 256)]
    assert not sequence.leaks
    assert (sequence.excess_bytes, sequence.device) == (None, "JAX's CPU device")


def test_a_leak_is_shown_by_shape(project):
    project.write(
        test_leak="""
        from pytest_af3mem import generate

        def test_nothing_stays(gpu_peak):
            sequence = gpu_peak.sequence([generate(100), generate(200)])
            assert not sequence.leaks, sequence
        """
    )
    result = project.run(model="misbehaving:Leaking")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*AssertionError: 1. 100 tokens: peak so far not counted; arrays left: 1 x float32[[]128,3]",
            "*2. 200 tokens: peak so far not counted; arrays left: 1 x float32[[]128,3], 1 x float32[[]256,3]",
            "*the last alone: peak not counted [[]JAX's CPU device]",
        ]
    )


@pytest.mark.parametrize("jobs", ["[]", "[generate(100)]", "generate(100)"])
def test_a_sequence_has_two_jobs(project, jobs):
    project.write(test_two=f"from pytest_af3mem import generate\ndef test_two(gpu_peak): gpu_peak.sequence({jobs})")
    project.run("--junitxml=junit.xml").assert_outcomes(failed=1)
    assert project.junit()["test_two"].startswith("Failed: gpu_peak.sequence takes at least two jobs")


def test_auto_runs_what_is_visible_and_compiles_for_the_rest(session, monkeypatch):
    monkeypatch.setattr("pytest_af3mem.gpus.local.targets", lambda environment: ["l4-24gb"])
    assert [session.method(target, "auto") for target in ("l4-24gb", "h100-80gb")] == ["run", "compiled"]


OUT = "the GPU ran out of memory while running: asked for 80.00 GiB more, with 1.00 GiB in use of a limit of 75.00 GiB"


@pytest.fixture
def out_of_memory(monkeypatch):
    """What a worker answers whose GPU ran out of memory."""

    def run(self, request):
        raise OutOfMemory(OUT, "its last lines", asked_bytes=80 * 2**30, limit_bytes=75 * 2**30)

    monkeypatch.setattr(GpuRuns, "run", run)


def test_running_out_of_gpu_memory_is_over(project, out_of_memory):
    project.write(
        test_fit="""
        import pytest

        @pytest.mark.af3_tokens(100)
        @pytest.mark.af3_budget("1 GiB")
        def test_marked(): ...

        def test_without_a_budget(gpu_peak): gpu_peak(tokens=100)
        """
    )
    project.run("--af3-method=run", "--junitxml=junit.xml").assert_outcomes(failed=2)
    line = f"GPU peak is over: {OUT} [100 tokens, bucket 128, h100-80gb, run]"
    assert project.junit() == {"test_marked[100]": f"Failed: {line}", "test_without_a_budget": f"Failed: {line}"}
    assert [(row["verdict"], row["reason"], row["total_bytes"]) for row in project.measurements()] == [("over", OUT, None)] * 2


def test_running_out_of_gpu_memory_has_the_status_of_over(af3mem, out_of_memory):
    status, output, _ = af3mem("measure", "--tokens", "100", "--method", "run")
    assert status == commands.OVER
    assert f"GPU peak is over: {OUT} [" in output


def test_the_command_runs_again(session):
    command = reproduce.command(session.settings, session.request(tokens=100, method="run"), tokens=100)
    assert command.startswith("af3mem measure --tokens 100 --target h100-80gb --method run --model analytic:Analytic")


def test_jax_without_cudas_libraries_falls_back_and_is_refused(session):
    """As with the extra `compile` on a machine that has a GPU: the worker is shown one that its JAX cannot use."""
    message = {"do": "rehearse", "request": session.request(tokens=100, method="run").to_json()}
    found = session.pool._children.ask_once(message, worker_environment.environment(os.environ, "GPU-1"))
    assert found["reason"].startswith("JAX ran on cpu (cpu) and not on a GPU, which takes pytest-af3mem[gpu]; ")


@pytest.fixture
def a_driver_without_a_gpu(monkeypatch, tmp_path):
    """NVML reports an H100, here and in workers, and JAX finds none."""
    spec = importlib.util.spec_from_file_location("pynvml", STAND_INS / "pynvml.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    monkeypatch.setenv("PYTHONPATH", str(STAND_INS))
    monkeypatch.setattr(gpu_lock, "FOLDERS", [str(tmp_path)])


@no_gpu_here
def test_all_the_way_to_a_device_that_is_no_gpu(session, a_driver_without_a_gpu):
    """By NVML, the lock and a worker of its own: what JAX then ran on is no GPU, and no number comes of it."""
    assert session.method("h100-80gb", "auto") == "run"
    with pytest.raises(NotJudged, match=r"^JAX ran on cpu \(cpu\) and not on a GPU, "):
        session.wait(session.pool.submit(session.request(tokens=100, method="run")))
    assert gpu_lock.lock_path("GPU-stand-in").exists()


@pytest.fixture
def two_processes(warm_session, a_driver_without_a_gpu, monkeypatch):
    """A peak of a run whose two processes answer so: what is no number of bytes is raised, or compiled again for None.

    Also how many programs JAX's compilation cache had at the start of each.
    """
    session = warm_session
    request = session.request(tokens=100, method="run")
    needed = session.wait(session.pool.submit(session.request(tokens=100, method="compiled")))

    def run(*answers):
        left, stored = list(answers), []

        def ask_once(self, message, environment, *inherited):
            stored.append(len(list(Path(message["stored"]).iterdir())))
            Path(message["stored"], "program").touch()
            answer = left.pop(0)
            if isinstance(answer, Exception):
                raise answer
            phases = Phases(*[Phase(answer or 1, answer or 1)] * 6, steady_peak_bytes=answer or 1)
            kind = {"warm" if answer and len(left) == 0 else "cold": phases}
            read = Run("NVIDIA H100 80GB HBM3", "GPU-stand-in", "570", *[1] * 9, **kind)
            peak = dataclasses.replace(needed, method="run", run=read, allocator_bytes=answer, total_bytes=answer or 1)
            return Answer(peak, {}, "0" * 64, "1" * 64).to_json()

        monkeypatch.setattr(Children, "ask_once", ask_once)
        return session.wait(session.pool.submit(request)), stored

    return run


def test_a_second_process_loads_what_the_first_compiled(two_processes):
    peak, stored = two_processes(1100, 1000)
    assert stored == [0, 1]
    assert (peak.total_bytes, peak.run.cold.peak_bytes, peak.run.warm.peak_bytes, peak.run.warm_note) == (1100, 1100, 1000, "")


@pytest.mark.parametrize(
    ("second", "note"),
    [
        (NotJudged("the worker died (SIGKILL)"), "the second process gave no number: the worker died (SIGKILL)"),
        (OutOfMemory(OUT), f"the second process gave no number: {OUT}"),
        (None, "the second process compiled the program again: JAX did not find it in its compilation cache"),
    ],
)
def test_a_second_process_that_is_not_warm_leaves_the_number_as_it_is(two_processes, second, note):
    peak, _ = two_processes(1100, second)
    assert (peak.total_bytes, peak.allocator_bytes, peak.run.cold.peak_bytes) == (1100, 1100, 1100)
    assert (peak.run.warm, peak.run.warm_note) == (None, note)


def test_a_first_process_that_dies_is_not_judged(two_processes):
    with pytest.raises(NotJudged, match=r"^the worker died \(SIGKILL\)$"):
        two_processes(NotJudged("the worker died (SIGKILL)"), 1000)


def test_with_unified_memory_it_is_said_how_much_would_spill(session, a_driver_without_a_gpu, monkeypatch, needed_bytes):
    request = session.request(tokens=100, method="run")
    monkeypatch.setenv("XLA_CLIENT_MEM_FRACTION", "3.2")
    with pytest.raises(NotJudged, match=r"^unified memory is on \(XLA_CLIENT_MEM_FRACTION=3.2\): ") as caught:
        session.wait(session.pool.submit(request))
    need = f"{needed_bytes(128) / 1024:.2f} KiB of the 79.11 GiB of h100-80gb"
    assert str(caught.value).endswith(f"; compiled, it needs {need}: nothing would spill")


@no_gpu_here
@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("XLA_PYTHON_CLIENT_ALLOCATOR", "platform", "XLA_PYTHON_CLIENT_ALLOCATOR=platform replaces JAX's allocator"),
        ("CUDA_VISIBLE_DEVICES", "", "CUDA_VISIBLE_DEVICES= leaves no GPU to see"),
    ],
)
def test_what_is_refused_before_a_worker_starts(session, a_driver_without_a_gpu, monkeypatch, variable, value, reason):
    request = session.request(tokens=100, method="run")
    monkeypatch.setenv(variable, value)
    with pytest.raises(NotJudged, match=f"^{reason}"):
        session.wait(session.pool.submit(request))
    assert not gpu_lock.lock_path("GPU-stand-in").exists()
