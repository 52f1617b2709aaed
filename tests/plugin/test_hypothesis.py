"""`gpu_peak` lives as long as the session, so Hypothesis has no health check to raise against it."""


def test_given_beside_the_fixture(project):
    project.write(
        test_fit="""
        from hypothesis import given, settings, strategies

        @settings(max_examples=5, deadline=None, derandomize=True)
        @given(tokens=strategies.integers(1, 128))
        def test_small_folds_share_a_bucket(gpu_peak, tokens):
            assert gpu_peak(tokens=tokens) <= "66 KiB"
        """
    )
    result = project.run_apart("-Werror")
    result.assert_outcomes(passed=1)
    rows = project.measurements()
    assert {row["bucket"] for row in rows} == {128}
    assert len({row["tokens"] for row in rows}) == len(rows) == 5


def test_given_together_with_sizes_and_a_budget(project):
    project.write(
        test_fit="""
        import pytest
        from hypothesis import given, settings, strategies

        @pytest.mark.af3_tokens(100, 200)
        @pytest.mark.af3_budget("100 KiB")
        @settings(max_examples=3, deadline=None, derandomize=True)
        @given(chains=strategies.integers(1, 3))
        def test_chains_cost_nothing(gpu_peak, af3_tokens, chains):
            assert gpu_peak(chains=chains) == gpu_peak(tokens=af3_tokens)
        """
    )
    result = project.run_apart("--junitxml=junit.xml")
    result.assert_outcomes(passed=1, failed=1)
    messages = project.junit()
    assert messages["test_chains_cost_nothing[100]"] is None
    assert messages["test_chains_cost_nothing[200]"].splitlines()[0] == (
        "Failed: GPU peak 258.12 KiB is over the budget of 100.00 KiB by 158.12 KiB (158.1 %) "
        "[200 tokens, bucket 256, h100-80gb, compiled]"
    )


def test_a_failing_example_shrinks_to_the_smallest_size_over(project):
    project.write(
        test_fit="""
        from hypothesis import given, settings, strategies

        @settings(max_examples=20, deadline=None, derandomize=True, database=None)
        @given(tokens=strategies.integers(1, 512))
        def test_fits(gpu_peak, tokens):
            assert gpu_peak(tokens=tokens) <= "100 KiB"
        """
    )
    result = project.run_apart()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *assert GPU peak 258.12 KiB is over the budget of 100.00 KiB by 158.12 KiB (158.1 %) "
            "[[]129 tokens, bucket 256, h100-80gb, compiled[]]",
            "E *tokens=129,",
        ]
    )


def test_what_cannot_be_measured_keeps_its_reason(project):
    project.write(
        test_fit="""
        import pytest
        from hypothesis import given, settings, strategies

        @pytest.mark.af3_model(width=-1)
        @pytest.mark.af3_budget("1 MiB")
        @settings(max_examples=2, deadline=None, derandomize=True, database=None)
        @given(tokens=strategies.just(100))
        def test_fits(gpu_peak, tokens):
            gpu_peak(tokens=tokens)
        """
    )
    result = project.run_apart("--junitxml=junit.xml")
    result.assert_outcomes(failed=1)
    assert project.junit()["test_fits"].startswith("Failed: GPU peak not judged: the model does not initialise: ")
