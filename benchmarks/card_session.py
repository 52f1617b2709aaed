"""All that a real GPU is needed for, in one command, on a machine with CUDA and JAX alone.

1. Where there is a network and AlphaFold 3: `python benchmarks/card_session.py prepare FOLDER`
   puts the wheels that such a machine lacks and the features of each size into FOLDER.
2. On the machine with the GPU, in a clone: `python benchmarks/card_session.py run FOLDER REPORTS`
   runs `af3mem calibrate`, `pytest tests/gpu` and `af3mem doctor`; REPORTS then holds what they printed, the record of that GPU,
   which is put into fixtures/calibration too, and the JSON and JUnit reports. A step that the time does not allow is named, never
   passed over.

Each size is measured by two processes: one compiles the program, and one loads it from JAX's compilation cache. The record is
written after each size, the smallest first, so that what was measured stays when the time is over; `run --sizes 2048,3072,5120`
on the same day adds to it.

`run --dry-run` goes through both processes on JAX's CPU device at 16 tokens, and reads no bytes; with `--model analytic:Analytic
--path tests/models` it needs no AlphaFold 3.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT / "fixtures" / "calibration"
sys.path.insert(0, str(ROOT))  # the machine with the GPU need not have the package installed

from featurised import path_of  # noqa: E402

SIZES = (256, 512, 1024, 2048, 3072, 5120)
DRY_SIZE = 16  # a CPU takes more than a quarter of an hour for 256
WHEELS = (
    # AlphaFold 3 and what it imports, beyond JAX, Flax, jaxtyping and what these bring
    "alphafold3-colabfold==3.1.18 dm-haiku==0.0.17 tokamax==0.0.12 rdkit==2025.9.4 jmp tabulate dm-tree ml_collections zstandard "
    "pydantic pydantic-core annotated-types typing-inspection typing-extensions qwix immutabledict einshape typeguard==2.13.3 "
    # pytest-af3mem's own
    "pytest pluggy iniconfig packaging pygments hypothesis sortedcontainers nvidia-ml-py"
).split()
PLATFORMS = [f"manylinux{version}_x86_64" for version in ("_2_28", "_2_27", "_2_24", "_2_17", "2014")]


def prepare(folder, python, also):
    from pytest_af3mem.inputs.generate import generate
    from pytest_af3mem.models.alphafold3 import AlphaFold3
    from pytest_af3mem.session.settings import default_folder

    folder.mkdir(parents=True, exist_ok=True)
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--implementation", "cp"]
    subprocess.run([*command, "--python-version", python, *platforms, "-d", folder / "wheels", *WHEELS, *also], check=True)
    import numpy as np

    model = AlphaFold3()
    model.prepare(default_folder(), print)
    for size in (DRY_SIZE, *SIZES):
        batch = model.featurise(generate(size).to_json(), (size,))
        assert batch.tokens == size
        np.savez_compressed(path_of(folder, size), **batch.features)
    print(f"{folder}: {sum(path.stat().st_size for path in folder.rglob('*.*')) / 2**20:.1f} MiB")


def run(folder, reports, seconds, dry_run, sizes, model, path):
    end = time.monotonic() + seconds
    reports.mkdir(parents=True, exist_ok=True)
    failed = []

    def step(name, *command):
        start = time.monotonic()
        how = {"cwd": ROOT, "env": environment, "timeout": max(end - start, 0)}
        with (reports / f"{name}.txt").open("w") as file:
            try:
                code = subprocess.run(command, stdout=file, stderr=file, **how).returncode
            except subprocess.TimeoutExpired:
                code = "not enough time"
        print(f"== {name}: {code} ({time.monotonic() - start:.0f} s)", flush=True)
        print((reports / f"{name}.txt").read_text()[-4000:], flush=True)
        if code:
            failed.append(name)

    with tempfile.TemporaryDirectory() as site:
        wheels = sorted(map(str, (folder / "wheels").glob("*.whl")))
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile", "--target", site]
        if wheels:
            subprocess.run([*install, *wheels], check=True)
        paths = [site, str(ROOT), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "AF3MEM_FEATURES": str(folder.resolve())}
        environment["AF3MEM_CACHE_DIR"] = str(Path(site) / "cache")
        af3mem = [sys.executable, "-m", "pytest_af3mem.commands.cli"]
        model = ["--model", model, "--path", str(path.resolve())]
        kept = reports.resolve()
        asked = ["--sizes", sizes, "--into", str(RECORDS), "--json", str(kept / "calibrate.json")]
        if dry_run:
            asked = ["--sizes", str(DRY_SIZE), "--buckets", str(DRY_SIZE), "--dry-run"]
        before = records()
        pytest = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"]
        step("calibrate", *af3mem, "calibrate", *model, *asked)
        for name, text in records().items() - before.items():
            (reports / name).write_text(text)
        for name in ("test_running", "test_alphafold3"):
            step(name, *pytest, f"--junitxml={kept / name}.xml", f"tests/gpu/{name}.py")
        step("doctor", *af3mem, "doctor", *model)
    print(f"failed or not reached: {', '.join(failed)}" if failed else "all done")
    return bool(failed)


def records():
    return {path.name: path.read_text() for path in RECORDS.glob("*.json")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    preparing = commands.add_parser("prepare")
    preparing.add_argument("folder", type=Path)
    preparing.add_argument("--python", default="3.12", help="version of the Python on that machine (default: 3.12)")
    preparing.add_argument("--also", nargs="*", default=[], help="more packages that it lacks, such as flax jaxtyping")
    running = commands.add_parser("run")
    running.add_argument("folder", type=Path)
    running.add_argument("reports", type=Path)
    running.add_argument("--seconds", type=float, default=570, help="time for all of it (default: 570)")
    running.add_argument("--dry-run", action="store_true")
    running.add_argument(
        "--sizes", default=",".join(map(str, SIZES)), help="tokens to measure, in this order (default: %(default)s)"
    )
    running.add_argument(
        "--model", default="featurised:Featurised", help="as af3mem's (default: AlphaFold 3 with FOLDER's features)"
    )
    running.add_argument("--path", type=Path, default=ROOT / "benchmarks", help="folder of that model")
    parsed = parser.parse_args()
    if parsed.command == "prepare":
        prepare(parsed.folder, parsed.python, parsed.also)
        return 0
    return run(parsed.folder, parsed.reports, parsed.seconds, parsed.dry_run, parsed.sizes, parsed.model, parsed.path)


if __name__ == "__main__":
    sys.exit(main())
