"""XLA flags as people state them, and the programs that a model may be with them."""

import pytest

from pytest_af3mem.errors import UsageError
from pytest_af3mem.records import flags
from pytest_af3mem.session.settings import read_flags

CONTAINER = {"xla_gpu_enable_triton_gemm": False}
AMPERE, TURING = (8, 0), (7, 5)


@pytest.mark.parametrize("text", ["container", "default", "--xla_a=true --xla_b=3"])
def test_what_is_stated_is_kept(text):
    assert flags.read(text, "--af3-flags") == text


def test_flags_are_options_of_xla():
    found = flags.parsed("--xla_a=true --xla_b --xla_c=-3 --xla_d='some text' --xla_e=False")
    assert found == {"xla_a": True, "xla_b": True, "xla_c": -3, "xla_d": "some text", "xla_e": False}


def test_a_number_that_python_would_not_read_stays_a_text():
    assert flags.parsed(f"--xla_a={'9' * 5000}") == {"xla_a": "9" * 5000}


def test_flags_may_stand_in_a_file(tmp_path):
    file = tmp_path / "flags.txt"
    file.write_text("--xla_a=true\n--xla_b=2\n")
    assert read_flags(str(file), "--af3-flags") == "--xla_a=true --xla_b=2"


def test_many_flags_without_a_value_are_no_name_of_a_file():
    text = " ".join(f"--xla_flag_of_mine_{number}" for number in range(300))
    assert read_flags(text, "--af3-flags") == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("contaner", "'contaner' is neither container, default, a file, nor a flag of XLA's"),
        ("--jax_enable_x64", "'--jax_enable_x64' is neither"),
        ("--xla_a=1 nonsense", "'nonsense' is neither"),
        ("--xla_a='1", "cannot be read: No closing quotation"),
        ("", "has no flags"),
        (f"--xla_a={'9' * 2**17}", "has 131,080 letters, and may have 131,072, as an environment variable may: state fewer"),
    ],
    ids=range(6),
)
def test_what_is_no_flag_is_refused(text, reason):
    with pytest.raises(UsageError, match=r"--af3-flags") as caught:
        read_flags(text, "--af3-flags")
    assert reason in str(caught.value)


def test_the_containers_flags_make_one_program():
    assert flags.programs("container", CONTAINER, AMPERE, (0, 10, 2)) == (CONTAINER,)
    assert flags.programs("--xla_a=2", CONTAINER, AMPERE, (0, 10, 2)) == ({"xla_a": 2},)


def test_with_default_flags_a_gpu_chooses():
    triton, cublas = flags.programs("default", CONTAINER, AMPERE, (0, 10, 2))
    assert triton == {}
    assert cublas == {"xla_gpu_experimental_autotune_backends": "CUBLASLT_FISSION,CUBLASLT"}
    _, newer = flags.programs("default", CONTAINER, AMPERE, (0, 11, 0))
    assert newer["xla_gpu_experimental_autotune_backends"].startswith("CUBLASLT_FISSION,CUBLASLT,")
    assert flags.programs("default", CONTAINER, TURING, (0, 10, 2)) == ({},)
