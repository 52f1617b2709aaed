"""A worker that fails costs one answer: that test is red and says why, the next one passes."""

import os
import signal
from pathlib import Path

import pytest
from waiting import happens, is_running

from pytest_af3mem.errors import NotJudged
from pytest_af3mem.inputs.chains import Protein
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings

BAD_AND_GOOD = """
    import pytest

    @pytest.mark.af3_tokens(100)
    @pytest.mark.af3_model(does="{does}")
    def test_bad(): ...

    @pytest.mark.af3_tokens(100)
    @pytest.mark.af3_budget("1 MiB")
    def test_good(): ...
"""
CONDITIONS = "[100 tokens, bucket 128, h100-80gb, compiled]"
SECONDS = 10


@pytest.fixture
def run_bad_and_good(project):
    def run(does, *options):
        project.write(test_fit=BAD_AND_GOOD.format(does=does))
        result = project.run("--af3-workers=1", "--junitxml=junit.xml", *options, model="misbehaving:Misbehaving")
        result.assert_outcomes(failed=1, passed=1)
        return result

    return run


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        ("raise", "the model does not trace: ValueError: weights of 31 do not fit positions of 32"),
        ("memory", "the worker ran out of host memory; --af3-workers 1 needs less"),
        ("exit", "the worker died (exit status 7)"),
        ("abort", "the worker died (SIGABRT)"),
        (
            "kill",
            "the worker died (SIGKILL: most often the kernel's answer to too little host memory; --af3-workers 1 needs less)",
        ),
    ],
)
def test_a_failure_is_not_judged_and_the_next_test_passes(run_bad_and_good, project, does, reason):
    run_bad_and_good(does)
    assert project.junit() == {"test_bad[100]": f"Failed: GPU peak not judged: {reason} {CONDITIONS}", "test_good[100]": None}
    bad, good = project.measurements()
    assert (bad["verdict"], bad["reason"], bad["total_bytes"]) == ("not judged", reason, None)
    assert (good["verdict"], good["reason"]) == ("within", None)


def test_a_measurement_that_takes_too_long_is_ended(project):
    project.gate("af3_tokens(300, 100)", 'af3_budget("1 MiB")')
    project.run("-k", "100", model="misbehaving:Endless").assert_outcomes(passed=1, deselected=1)
    project.run("--af3-timeout=2", "--junitxml=junit.xml", model="misbehaving:Endless").assert_outcomes(failed=1, passed=1)
    assert project.junit() == {
        "test_fits[300]": "Failed: GPU peak not judged: the worker took too long while featurising and was ended; "
        "--af3-timeout allows more [300 tokens, bucket 512, h100-80gb, compiled]",
        "test_fits[100]": None,
    }
    assert not is_running((project.path / "endless").read_text().strip())


def test_the_end_of_the_log_is_shown_for_a_failure_alone(run_bad_and_good):
    result = run_bad_and_good("noise")
    shown = [line.strip() for line in result.outlines]
    assert {"warned line 999", "written past Python"} <= set(shown)
    assert "RuntimeError: too noisy" in shown
    assert not {"printed line 0", "warned line 0"} & set(shown)
    assert "line 999" not in result.stderr.str()


def test_a_chatty_worker_that_succeeds_is_not_heard(project):
    project.write(test_fit=BAD_AND_GOOD.format(does="chat"))
    result = project.run("-s", model="misbehaving:Misbehaving")
    result.assert_outcomes(passed=2)
    assert "line" not in result.stdout.str() + result.stderr.str()


def test_each_failure_shows_its_own_log(project):
    project.write(
        test_fit="""
        import pytest

        pytestmark = pytest.mark.af3_tokens(100)

        @pytest.mark.af3_model(does="raise")
        def test_first(): ...

        @pytest.mark.af3_model(does="exit")
        def test_second(): ...
        """
    )
    result = project.run("--af3-workers=1", model="misbehaving:Misbehaving")
    result.assert_outcomes(failed=2)
    first, _, second = result.stdout.str().partition("_ test_second[100] _")
    assert "weights of 31 do not fit" in first
    assert "weights of 31 do not fit" not in second.partition("GPU memory of AlphaFold 3 ===")[0]


def test_the_models_own_lines_are_in_the_log(run_bad_and_good):
    result = run_bad_and_good("raise")
    result.stdout.fnmatch_lines(
        [
            "  the worker's last lines:",
            '*File "*misbehaving.py", line *, in _raise',
            "*raise ValueError(*",
            "*ValueError: weights of 31 do not fit positions of 32",
            "*and here is more about it",
            "  measure it again: af3mem measure --tokens 100 *",
        ]
    )


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (
            "Miscounting",
            "the job was expected to have 100 tokens in a bucket of 128, but the featuriser of analytic 1.0 made 101 in 128",
        ),
        ("Unreadable", "unreadable does not featurise the job: ValueError: no MSA was given"),
    ],
)
def test_a_job_that_the_model_sees_otherwise(project, model, reason):
    project.write(test_fit="def test_any(gpu_peak): gpu_peak(tokens=100)")
    project.run("--junitxml=junit.xml", model=f"misbehaving:{model}").assert_outcomes(failed=1)
    assert project.junit() == {"test_any": f"Failed: GPU peak not judged: {reason} {CONDITIONS}"}


def test_a_model_that_does_not_import_says_the_same_each_time(project):
    project.write(
        test_fit="""
        def test_first(gpu_peak): gpu_peak(tokens=100)
        def test_second(gpu_peak): gpu_peak(tokens=200)
        """
    )
    project.run("--af3-workers=1", model="misbehaving:Broken").assert_outcomes(failed=2)
    assert {row["reason"] for row in project.measurements()} == {
        "analytic 1.0 does not import: ImportError: libmodel.so: no such file"
    }


def test_shapes_may_depend_on_more_than_the_bucket(project, needed_bytes):
    project.write(
        test_fit="""
        from pytest_af3mem import Job
        from pytest_af3mem.inputs.chains import Protein

        def test_any(gpu_peak):
            plain, with_tryptophan = (Job("chain", (Protein(("A",), residue * 100),)) for residue in "MW")
            assert gpu_peak(plain) < gpu_peak(with_tryptophan)
        """
    )
    assert project.run(model="misbehaving:ByContent").ret == 0
    assert [row["total_bytes"] for row in project.measurements()] == [needed_bytes(128), needed_bytes(256)]


@pytest.fixture
def hanging(cold_project):
    """pytest while it waits for a worker that hangs: the process, and the worker's id."""
    cold_project.write(test_fit=BAD_AND_GOOD.format(does="hang"))
    process = cold_project.start("--af3-workers=1", model="misbehaving:Misbehaving")
    traced = cold_project.path / "traced"
    try:
        assert happens(lambda: traced.exists() and traced.read_text().endswith("\n"))
        pid = int(traced.read_text())
        assert is_running(pid)
        yield process, pid
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_killing_pytest_leaves_no_worker(hanging, how):
    process, worker = hanging
    process.send_signal(how)
    assert happens(lambda: not is_running(worker), SECONDS)


def test_ctrl_c_ends_at_once_and_leaves_no_worker(hanging):
    process, worker = hanging
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=SECONDS)  # where the worker was waited for it would be for minutes
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert b"KeyboardInterrupt" in output
    assert not is_running(worker)


@pytest.fixture
def session_of(project):
    """A session with a model of tests/models."""
    sessions = []

    def start(model):
        sessions.append(Session(Settings(model=model, path=project.models, cache_dir=project.cache)))
        return sessions[-1]

    yield start
    for session in sessions:
        session.close()


def test_featurising_alone_compiles_nothing(session_of):
    session = session_of("misbehaving:Misbehaving")
    requests = [session.request(Job("x", (Protein(("A",), "M" * length),))) for length in (100, 101, 129)]
    found = [session.pool.featurise(request) for request in requests]
    assert [(one["tokens"], one["bucket"]) for one in found] == [(100, 128), (101, 128), (129, 256)]
    assert found[0]["signature"] == found[1]["signature"] != found[2]["signature"]
    assert not Path("traced").exists()


def test_featurising_alone_checks_the_count(session_of):
    session = session_of("misbehaving:Miscounting")
    request = session.request(Job("x", (Protein(("A",), "M" * 100),)))
    with pytest.raises(
        NotJudged, match=r"was expected to have 100 tokens in a bucket of 128, but the featuriser .* made 101 in 128"
    ):
        session.pool.featurise(request)
