"""What measuring costs beside bare compiling, as ratios. Run where AlphaFold 3 is installed: `python benchmarks/cost.py`.

It takes some ten minutes on two cores and prints:
- one cold measurement by a warm worker, against trace + lower + compile of the same program in one process;
- the same compile with CUDA's own ptxas, where one is installed;
- six buckets cold with one and with two workers, and again from the cache;
- pytest's start with and without the plugin.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings

TOKENS = 512
SIX_BUCKETS = (128, 256, 384, 512, 768, 1024)
TARGET = "h100-80gb"


def bare(cache_dir: Path) -> dict[str, float]:
    """Seconds of the parts of one compile, in a process of its own, nothing of the pool in it."""
    code = f"""
import json, os, sys, tempfile, time
from pathlib import Path
from pytest_af3mem import gpus
from pytest_af3mem.inputs.generate import generate
from pytest_af3mem.models.alphafold3 import AlphaFold3
from pytest_af3mem.worker.environment import ENVIRONMENT
from pytest_af3mem.worker.xla import target, tracing
os.environ.update(ENVIRONMENT)
folder, gpu, model = Path({str(cache_dir)!r}), gpus.find({TARGET!r}), AlphaFold3()
empty = target.toolchain(Path(tempfile.mkdtemp()))
seconds, start = {{}}, time.perf_counter()
def lap(name):
    global start
    seconds[name], start = time.perf_counter() - start, time.perf_counter()
model.prepare(folder, print)
def whole(toolchain):
    lowered = tracing.lowered(forward, parameters, batch.features, gpu)
    options = {{**forward.compiler_options, **target.FLAGS, "xla_gpu_cuda_data_dir": str(toolchain)}}
    lowered.compile(compiler_options=options)
batch = model.featurise(generate({TOKENS}).to_json(), model.buckets())
lap("import and featurise")
with tracing.pretending(target.device(gpu)):
    forward = model.forward({{}}, gpu.compute_capability)
parameters = tracing.parameters(forward, batch.features, gpu)
lap("parameter shapes")
whole(empty)
lap("trace, lower, compile")
for name, toolchain in (("again", empty), ("with CUDA's ptxas", Path("/usr/local/cuda"))):
    import jax
    jax.clear_caches()
    if (toolchain / "bin" / "ptxas").exists():
        start = time.perf_counter()
        whole(toolchain)
        lap(f"trace, lower, compile {{name}}")
print(json.dumps(seconds))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def measured(sizes: tuple[int, ...], cache_dir: Path, *, workers: int = 1, warm_up: int | None = None) -> float:
    """Seconds until all sizes are measured, by a fresh pool, `warm_up` tokens measured before the clock starts."""
    session = Session(Settings(target=TARGET, cache_dir=cache_dir, workers=workers))
    try:
        if warm_up:
            session.wait(session.pool.submit(session.request(tokens=warm_up)))
        start = time.perf_counter()
        for answer in [session.pool.submit(session.request(tokens=size)) for size in sizes]:
            session.wait(answer)
        return time.perf_counter() - start
    finally:
        session.close()


def forget_results(cache_dir: Path) -> None:
    """Leaves the chemical dictionary alone."""
    for kind in ("peaks", "parameters", "programs", "signatures"):
        for file in (cache_dir / kind).glob("*"):
            file.unlink()


def pytest_start(*arguments: str) -> float:
    """The fastest of five starts of pytest, collecting nothing."""
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", *arguments]
    with tempfile.TemporaryDirectory() as empty:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            subprocess.run(command, cwd=empty, capture_output=True, check=False)
            times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache_dir = Path(folder)
        measured((128,), cache_dir)
        alone = bare(cache_dir)
        print(*(f"{name}: {seconds:.1f} s" for name, seconds in alone.items()), sep="\n", flush=True)
        forget_results(cache_dir)
        cold = measured((TOKENS,), cache_dir, warm_up=128)
        print(f"cold, by a warm worker: {cold:.1f} s = {cold / alone['trace, lower, compile']:.2f} of bare", flush=True)
        for workers in (1, 2):
            forget_results(cache_dir)
            seconds = measured(SIX_BUCKETS, cache_dir, workers=workers)
            print(f"{len(SIX_BUCKETS)} buckets cold, {workers} workers: {seconds:.1f} s", flush=True)
        print(f"{len(SIX_BUCKETS)} buckets from the cache: {measured(SIX_BUCKETS, cache_dir):.2f} s")
    without, with_plugin = pytest_start("-p", "no:af3mem"), pytest_start()
    print(f"pytest's start: {without * 1000:.0f} ms without the plugin, {with_plugin * 1000:.0f} ms with it")


if __name__ == "__main__":
    main()
