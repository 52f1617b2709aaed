"""What was measured is what was asked for, or it is not judged."""

import dataclasses
import json

import pytest

from pytest_af3mem import commands
from pytest_af3mem.commands import cli
from pytest_af3mem.errors import NotJudged
from pytest_af3mem.records import answering
from pytest_af3mem.records.answering import Answer, why_not_the_answer
from pytest_af3mem.records.peak import Model
from pytest_af3mem.records.request import Request
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings


@pytest.fixture
def question(a_request, an_installation):
    return a_request(settings=(("num_samples", 5),)), an_installation()


def test_the_answer_to_the_question_is_accepted(question, a_peak):
    request, installation = question
    answer = Answer(a_peak(), {"num_samples": 5}, "s", installation.identity)
    assert why_not_the_answer(*question, a_peak(), answer.settings) == ""
    found = answering.accepted(request, installation, json.loads(json.dumps(answer.to_json())))
    assert (found.settings, found.signature, vars(found.peak)) == (answer.settings, "s", vars(answer.peak))


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"tokens": 999}, "tokens"),
        ({"bucket": 512}, "bucket"),
        ({"target": "a100-80gb"}, "target"),
        ({"method": "run"}, "method"),
        ({"model": Model("other", "alphafold3-colabfold 3.1.18", "sha256:0123")}, "model"),
        ({"model": Model("alphafold3", "alphafold3 3.0.2", "sha256:0123")}, "distribution"),
        ({"software": {"python": "3.12.1", "jax": "0.9.1", "cuda_plugin": "jax-cuda12-plugin 0.10.2"}}, "jax"),
        ({"software": {}}, "python"),
    ],
)
def test_an_answer_of_another_question_is_refused(question, a_peak, changes, name):
    request, installation = question
    answer = Answer(a_peak(**changes), {"num_samples": 5}, "s", installation.identity)
    with pytest.raises(NotJudged, match=f"^the answer is of another question: {name} .* was measured, .* was asked for$"):
        answering.accepted(request, installation, json.loads(json.dumps(answer.to_json())))


@pytest.mark.parametrize("settings", [{}, {"num_samples": 1}, {"num_samples": 5.0}, {"num_samples": 5, "x": None}])
def test_an_answer_with_other_settings_is_refused(question, a_peak, settings):
    assert why_not_the_answer(*question, a_peak(), settings).startswith("the answer is of another question: settings ")


def test_an_answer_of_other_sources_is_refused(question, a_peak):
    other = a_peak(model=Model("alphafold3", "alphafold3-colabfold 3.1.18", "sha256:4567"))
    assert why_not_the_answer(*question, other) == (
        "the model's sources are others than at the start of the session: they were edited meanwhile; start it again"
    )


def test_an_answer_from_another_environment_is_refused(question, a_peak, an_installation):
    answer = Answer(a_peak(), {"num_samples": 5}, "s", an_installation(environment="other").identity)
    with pytest.raises(NotJudged, match=r"^what is installed, or the environment, is not as it was at the start of the session"):
        answering.accepted(*question, json.loads(json.dumps(answer.to_json())))


def test_an_answer_whose_parts_do_not_add_up_is_refused(question, a_peak):
    assert why_not_the_answer(*question, a_peak(temp_bytes=6 * 2**30 - 1)).startswith("its parts add up to 8589934591 bytes")


@pytest.mark.parametrize("reply", [None, 5, [], {}, {"peak": {}, "settings": {}, "signature": "s"}])
def test_a_reply_that_is_no_answer_is_not_judged(question, reply):
    with pytest.raises(NotJudged, match=r"^the worker's reply cannot be read: "):
        answering.accepted(*question, reply)


def test_the_steps_of_a_sequence_are_of_its_jobs(a_request):
    step = {"tokens": 1000, "bucket": 1024, "peak_bytes": None, "left_bytes": -5}
    (found,) = answering.steps([a_request()], [step])
    assert (found.tokens, found.left_bytes) == (1000, -5)
    for reply in ([], [step, step], [{**step, "tokens": 5}], [{**step, "left_bytes": "5"}], 7):
        with pytest.raises(NotJudged):
            answering.steps([a_request()], reply)


def test_features_are_of_the_job(a_request):
    made = {"tokens": 1000, "bucket": 1024, "signature": "s", "shapes": {"msa": "int8[1,2]"}}
    assert dataclasses.asdict(answering.features(a_request(), made)) == made
    for changes in ({"tokens": 999}, {"bucket": 512}, {"signature": ""}, {"shapes": None}, {"shapes": {"msa": 5}}):
        with pytest.raises(NotJudged):
            answering.features(a_request(), {**made, **changes})


def test_settings_of_one_and_true_are_two_questions(a_request):
    requests = [a_request(settings=(("width", value),)) for value in (1, 1.0, True, "1")]
    assert len(set(requests)) == 4
    assert requests[0] != requests[1] != requests[2] != requests[0]
    assert requests[0] == a_request(settings=(("width", 1),))
    assert Request.from_json(json.loads(json.dumps(requests[2].to_json()))) == requests[2]
    assert len({request.settings_text for request in requests}) == 4


def test_settings_that_python_takes_for_equal_are_measured_apart(project, needed_bytes):
    project.write(
        typed="""
        import analytic

        class Model(analytic.Analytic):
            packages = ()
            def forward(self, settings, capability):
                return super().forward({"width": {int: 10, float: 20, bool: 30}[type(settings["width"])]}, capability)
        """,
        test_widths="""
        import pytest

        pytestmark = pytest.mark.af3_tokens(100)

        @pytest.mark.af3_model(width=1)
        def test_int(gpu_peak): gpu_peak()

        @pytest.mark.af3_model(width=1.0)
        def test_float(gpu_peak): gpu_peak()

        @pytest.mark.af3_model(width=True)
        def test_bool(gpu_peak): gpu_peak()
        """,
    )
    project.run("test_widths.py", model="typed:Model").assert_outcomes(passed=3)
    assert [row["total_bytes"] for row in project.measurements()] == [needed_bytes(128, width) for width in (10, 20, 30)]


def test_parameters_that_follow_the_bucket_are_those_of_the_bucket(project):
    """As learned positions are: in the order that hides it, the small bucket first."""
    project.write(
        test_fit="""
        def test_both(gpu_peak):
            small, large = gpu_peak(tokens=100), gpu_peak(tokens=300)
            assert (small.argument_bytes, large.argument_bytes) == (4 * (1000 * 128 + 128), 4 * (1000 * 512 + 512))
        """,
        learned="""
        import analytic
        from pytest_af3mem.models.model import Forward

        class Model(analytic.Analytic):
            packages = ()
            def forward(self, settings, capability):
                import jax.numpy as jnp
                def init(key, features):
                    return {"learned": jnp.zeros((1000, features["positions"].size))}
                def apply(parameters, key, features):
                    return parameters["learned"].sum() * features["positions"]
                return Forward(init, apply)
        """,
    )
    project.run("--af3-workers=1", model="learned:Model").assert_outcomes(passed=1)


@pytest.mark.parametrize("inside", ["one/level/too", "elsewhere"])
def test_a_source_tree_without_the_model_is_refused(project, tmp_path, inside):
    """Another `analytic` is found, in the current folder, as an installed one would be."""
    (project.path / "analytic.py").write_text((project.models / "analytic.py").read_text())
    folder = tmp_path / "tree" / inside
    folder.mkdir(parents=True)
    (tmp_path / "tree" / "one").mkdir(exist_ok=True)
    (tmp_path / "tree" / "one" / "analytic.py").write_text("")
    project.gate("af3_tokens(100)", 'af3_budget("1 MiB")')
    result = project.run(f"--af3-path={folder}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    hint = f", as {tmp_path / 'tree' / 'one'} does" if inside != "elsewhere" else ""
    text = f"{folder} holds no package 'analytic', and what is installed was not asked for: give the folder that does{hint}"
    result.stderr.fnmatch_lines([f"ERROR: {text}"])


def test_nor_is_it_compared_or_held_against(project, tmp_path, monkeypatch, capsys):
    (project.path / "analytic.py").write_text((project.models / "analytic.py").read_text())
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(project.path)
    where = ("--model", "analytic:Analytic", "--cache-dir", str(project.cache))
    sides = (str(project.models), str(tmp_path / "empty"))
    assert cli.main(["compare", *sides, *where, "--tokens", "100"]) == commands.USAGE
    assert "holds no package 'analytic'" in capsys.readouterr().err
    project.gate("af3_tokens(100)", "af3_baseline")
    result = project.run(f"--af3-against={tmp_path / 'empty'}")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*not judged: --af3-against * cannot be measured: * holds no package 'analytic'*"])


def test_a_reply_of_another_question_is_not_judged_in_a_session(tmp_path, project, monkeypatch):
    """As of a worker that mixes up its questions."""
    settings = Settings(model="analytic:Analytic", path=project.models, cache_dir=tmp_path / "cache", no_cache=True)
    session = Session(settings)
    try:
        request = session.request(tokens=100)
        ask = session.pool._children.ask

        def mixed_up(message, *seconds):
            if message["do"] == "measure":
                other = dataclasses.replace(request, settings=(("width", 7),))
                message = {**message, "request": other.to_json()}
            return ask(message, *seconds)

        monkeypatch.setattr(session.pool._children, "ask", mixed_up)
        with pytest.raises(NotJudged, match=r'settings \{"width": 7\} was measured, \{\} was asked for$'):
            session.wait(session.pool.submit(request))
    finally:
        session.close()
