"""What a model says of itself saves time, and never hides a change."""

import shutil

import pytest


@pytest.fixture
def measured(cold_project):
    """The measurements of a test with `edit` made to the model, and what was done that a model may spare."""
    models = shutil.copytree(cold_project.models, cold_project.path / "models", ignore=shutil.ignore_patterns("__pycache__"))
    source = models / "saving.py"
    original = source.read_text()

    def measured(test, *edit):
        (cold_project.path / "noted").write_text("")
        source.write_text(original.replace(*edit) if edit else original)
        cold_project.write(test_fit=f"from pytest_af3mem import generate\ndef test_any(gpu_peak): {test}")
        result = cold_project.run(f"--af3-path={models}", "--af3-workers=1", model="saving:Saving")
        result.assert_outcomes(passed=1)
        return cold_project.measurements(), (cold_project.path / "noted").read_text().split(), result.stdout.str()

    return measured


def test_a_generated_input_is_not_featurised_and_a_job_of_ones_own_is(measured, needed_bytes):
    (row,), done, _ = measured("gpu_peak(tokens=100)")
    assert (row["tokens"], row["bucket"], row["total_bytes"]) == (100, 128, needed_bytes(128))
    assert done == ["init"]
    (row,), done, _ = measured("gpu_peak(generate(100, chains=2))")
    assert (row["tokens"], row["bucket"], row["cached"]) == (100, 128, True)
    assert done == ["featurise"]


def test_parameters_of_the_model_before_are_tried_first(measured):
    _, done, _ = measured("gpu_peak(tokens=100)")
    assert done == ["init"]
    (row,), done, text = measured("gpu_peak(tokens=100)", "import Path\n", "import Path  # a comment\n")
    assert done == []
    assert (row["cached"], row["same_program"]) == (False, True)
    assert "same program" in text


def test_where_they_do_not_fit_the_model_is_asked(measured):
    (before,), _, _ = measured("gpu_peak(tokens=100)")
    (after,), done, _ = measured("gpu_peak(tokens=100)", 'WEIGHTS = "weights"', 'WEIGHTS = "heavier"')
    assert done == ["init"]
    assert (after["cached"], after["same_program"]) == (False, False)
    assert after["total_bytes"] == before["total_bytes"]
