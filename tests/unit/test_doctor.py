from pytest_af3mem.gpus.nvml import VisibleGpu
from pytest_af3mem.planning.doctor import Findings
from pytest_af3mem.reports.doctor import render_text

GIB = 2**30


def findings(**changes):
    found = {
        "python": "3.11.7",
        "interpreter": "/venv/bin/python",
        "installation": None,
        "problem": "",
        "components": "",
        "targets": {},
        "gpus": [],
        "no_gpu": "no NVIDIA driver: NVML Shared Library Not Found",
        "cache": "/cache",
        "workers": 4,
    }
    return Findings(**{**found, **changes})


def test_all_is_well(an_installation):
    found = findings(
        installation=an_installation(software={**an_installation().software, "environment": ""}),
        components="/cache/ccd.sqlite",
        targets={"h100-80gb": "", "h100-80gb/1g.10gb": "", "p100-16gb": "jax 0.10.2 cannot compile for p100-16gb"},
        shipped={"h100-80gb": ("wheel", "upstream")},
    )
    assert found.healthy
    assert render_text(found).splitlines() == [
        "pytest's Python   3.11.7",
        "model's Python    /venv/bin/python",
        "model             alphafold3: alphafold3-colabfold 3.1.18",
        "buckets           256 512 768 1024",
        "jax               0.10.2",
        "cuda_plugin       jax-cuda12-plugin 0.10.2",
        "dictionary        /cache/ccd.sqlite",
        "cache             /cache",
        "workers           4",
        "GPU               none visible (no NVIDIA driver: NVML Shared Library Not Found); measuring compiled needs none",
        "calibration       none: how far a real GPU differs from what is compiled is not known (af3mem calibrate, on one)",
        "",
        "targets, with their memory, whether a program compiles for them here, and whose answers are shipped:",
        "  h100-80gb                  79.11 GiB  compiles, shipped: wheel upstream",
        "  h100-80gb/1g.10gb           9.75 GiB  compiles",
        "  p100-16gb                  15.89 GiB  jax 0.10.2 cannot compile for p100-16gb",
    ]
    assert "dictionary        not made yet" in render_text(findings(installation=an_installation())).splitlines()


def test_something_is_missing():
    found = findings(problem="JAX is not installed", gpus=[VisibleGpu("NVIDIA H200", 140 * GIB, "570.124")] * 2, no_gpu="")
    assert not found.healthy
    assert render_text(found).splitlines()[2:] == [
        "cache             /cache",
        "workers           4",
        "GPU               NVIDIA H200, 140.00 GiB, driver 570.124",
        "GPU               NVIDIA H200, 140.00 GiB, driver 570.124",
        "calibration       none: how far a real GPU differs from what is compiled is not known (af3mem calibrate, on one)",
        "",
        "to mend: JAX is not installed",
    ]


def test_calibrations_are_shown():
    line = "h100-80gb: the GPU took +0.20 to +1.00 % of what was compiled (256 to 1024 tokens, ...)"
    assert f"calibration       {line}" in render_text(findings(calibrations=(line,))).splitlines()
