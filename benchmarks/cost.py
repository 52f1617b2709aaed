"""What measuring costs, as ratios in one run: `python benchmarks/cost.py`, where AlphaFold 3 is installed and nothing else runs.

It takes some forty minutes on two cores; `--only cold,changed` takes a part. What it prints:
- cold: one measurement by a warm worker, beside trace + lower + compile of the same program to its end, in wall and CPU seconds;
- changed: three sizes of a model that was changed, two workers;
- buckets: every default bucket, with one and with two workers;
- comment: one size of a model of which a comment was edited, by a fresh worker, beside the same size of another model;
- cache: every default bucket again, from the cache;
- host: the most host memory that a worker and its compile process hold together;
- pytest: a thousand cached tests, collection of ten thousand tests, and pytest's start, with and without the plugin.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings

TARGET = "h100-80gb"
COLD = (512, 2048, 1024, 5120)
CHANGED = (512, 1024, 2048)
EDITED = Path("model", "network", "modules.py")  # of the model: where a comment and an operation are edited

GATES = """
import pytest

@pytest.mark.parametrize("one", range(1000))
@pytest.mark.af3_tokens(256)
@pytest.mark.af3_budget("2 GiB")
def test_fits(one): ...
"""

BARE = """
import json, os, sys, tempfile, time
from pathlib import Path
from pytest_af3mem import gpus
from pytest_af3mem.inputs.generate import generate
from pytest_af3mem.models.alphafold3 import AlphaFold3
from pytest_af3mem.worker.environment import ENVIRONMENT
from pytest_af3mem.worker.xla import target, tracing
folder, name, *sizes = sys.argv[1:]
sys.argv[1:] = []
os.environ.update(ENVIRONMENT)
gpu, model, toolchain = gpus.find(name), AlphaFold3(), target.toolchain(Path(tempfile.mkdtemp()))
model.prepare(Path(folder), lambda text: None)
parameters = None
for tokens in map(int, sizes):
    batch = model.featurise(generate(tokens).to_json(), model.buckets())
    with tracing.pretending(target.device(gpu)):
        forward = model.forward({}, gpu.compute_capability)
    parameters = parameters or tracing.parameters(forward, batch.features, gpu)
    start, cpu = time.perf_counter(), time.process_time()
    lowered = tracing.lowered(forward, parameters, batch.features, gpu)
    if tokens != int(sizes[-1]):  # the first, which was only traced to warm up
        continue
    lowered.compile(compiler_options={**forward.compiler_options, **target.FLAGS, "xla_gpu_cuda_data_dir": str(toolchain)})
    print(json.dumps([time.perf_counter() - start, time.process_time() - cpu]), flush=True)
"""


class Seconds(NamedTuple):
    """What something took."""

    wall: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = {"cold": cold, "changed": changed, "buckets": buckets, "comment": comment, "cache": cached}
    parts |= {"host": host, "pytest": pytest_itself}
    parser.add_argument("--only", default=",".join(parts), help="(default: all)")
    chosen = parser.parse_args().only.split(",")
    os.environ["AF3MEM_SHIPPED"] = "no"  # a shipped answer costs nothing
    with tempfile.TemporaryDirectory() as folder:
        measured((128,), Path(folder))  # the dictionary of components is made, and files are read once
        for name in chosen:
            for line in parts[name](Path(folder)):
                print(f"{name}: {line}", flush=True)


def cold(cache: Path) -> Iterator[str]:
    """Sizes taken in turn, once bare and once measured, so that a busy machine is as slow to both."""
    for tokens in COLD:
        command = [sys.executable, "-c", BARE, str(cache), TARGET, "128", str(tokens)]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        bare = Seconds(*json.loads(run.stdout.splitlines()[-1]))
        forget(cache)
        cost = measured((tokens,), cache, warm_up=128)
        wall = f"{cost.wall:.1f} s = {cost.wall / bare.wall:.2f} of {bare.wall:.1f} s bare wall"
        yield f"{tokens} tokens in {wall}, {cost.cpu:.1f} s = {cost.cpu / bare.cpu:.2f} of {bare.cpu:.1f} s bare CPU"


def changed(cache: Path) -> Iterator[str]:
    with model_copied() as edit:
        measured((128,), cache, path=edit(""))
        path = edit("\nNOTHING_THAT_ANYBODY_USES = 1\n")
        forget(cache, "programs", "signatures", "peaks")
        yield f"{CHANGED} tokens, 2 workers: {measured(CHANGED, cache, workers=2, path=path).wall:.1f} s"


def buckets(cache: Path) -> Iterator[str]:
    for workers in (1, 2):
        forget(cache)
        sizes = default_buckets(cache)
        yield f"{len(sizes)}, {workers} workers: {measured(sizes, cache, workers=workers).wall:.1f} s"


def comment(cache: Path) -> Iterator[str]:
    with model_copied() as edit:
        forget(cache)
        first = measured((512,), cache, path=edit("")).wall
        again = measured((512,), cache, path=edit("\n# a comment\n")).wall
        yield f"512 tokens in {again:.1f} s = {again / first:.2f} of {first:.1f} s when it was new"


def cached(cache: Path) -> Iterator[str]:
    sizes = default_buckets(cache)
    measured(sizes, cache, workers=2)
    yield f"{len(sizes)} buckets: {measured(sizes, cache).wall:.2f} s"


def host(cache: Path) -> Iterator[str]:
    for tokens in (512, 5120):
        forget(cache)
        done = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            most = pool.submit(most_memory_bytes, done)
            measured((tokens,), cache)
            done.set()
        yield f"{tokens} tokens: {most.result() / 2**30:.2f} GiB"


def most_memory_bytes(done: threading.Event) -> int:
    """Of all processes below this one, until it is done."""
    most = 0
    while not done.wait(0.2):
        pages = 0
        for process in below():
            with contextlib.suppress(OSError):  # it has ended
                pages += int((process / "statm").read_text().split()[1])
        most = max(most, pages * os.sysconf("SC_PAGE_SIZE"))
    return most


def cpu_seconds() -> float:
    """Of all processes below this one, with those that have ended and were waited for."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    ticks = 0
    for process in below():
        with contextlib.suppress(OSError):
            ticks += sum(map(int, (process / "stat").read_text().rpartition(")")[2].split()[11:15]))  # utime to cstime
    return ended.ru_utime + ended.ru_stime + ticks / os.sysconf("SC_CLK_TCK")


def below() -> list[Path]:
    """Folders in /proc of the processes that this one started, and those that they started."""
    parents = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(process.name)] = int((process / "stat").read_text().rpartition(")")[2].split()[1])
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return [Path("/proc", str(pid)) for pid in found - {os.getpid()}]


def pytest_itself(cache: Path) -> Iterator[str]:
    measured((256,), cache)
    with tempfile.TemporaryDirectory() as folder:
        test = Path(folder, "test_many.py")
        test.write_text("def test_one(): ...\n")
        without, having = started(folder, "-p", "no:af3mem"), started(folder)
        yield f"start: {having * 1000:.0f} ms = {having / without:.2f} of {without * 1000:.0f} ms without the plugin"
        test.write_text("import pytest\n@pytest.mark.parametrize('one', range(10_000))\ndef test_one(one): ...\n")
        without, having = started(folder, "--collect-only", "-p", "no:af3mem"), started(folder, "--collect-only")
        yield f"collection of 10,000 tests: {having:.2f} s = {having / without:.2f} of {without:.2f} s without the plugin"
        test.write_text(GATES)
        options = ("--af3-gpu", f"--af3-cache-dir={cache}", f"--af3-target={TARGET}", "--af3-method=compiled")
        seconds = started(folder, *options, repeats=1)
        yield f"1,000 cached tests: {seconds:.1f} s"


def measured(
    sizes: tuple[int, ...], cache: Path, *, workers: int = 1, warm_up: int | None = None, path: Path | None = None
) -> Seconds:
    """Until all sizes are measured, by fresh workers, `warm_up` tokens measured before the clock starts."""
    session = Session(Settings(target=TARGET, cache_dir=cache, workers=workers, path=path))
    try:
        if warm_up:
            session.wait(session.pool.submit(session.request(tokens=warm_up)))
        start, cpu = time.perf_counter(), cpu_seconds()
        for answer in [session.pool.submit(session.request(tokens=size)) for size in sizes]:
            session.wait(answer)
        return Seconds(time.perf_counter() - start, cpu_seconds() - cpu)
    finally:
        session.close()


def default_buckets(cache: Path) -> tuple[int, ...]:
    session = Session(Settings(target=TARGET, cache_dir=cache))
    try:
        return session.buckets
    finally:
        session.close()


def forget(cache: Path, *kinds: str) -> None:
    """Removes what was measured; the dictionary of components stays."""
    for kind in kinds or ("peaks", "parameters", "programs", "signatures"):
        shutil.rmtree(cache / kind, ignore_errors=True)


@contextlib.contextmanager
def model_copied() -> Iterator[Callable[[str], Path]]:
    """A copy of the model's sources: what this gives adds text to one of them, and says where they are."""
    package = Path(next(iter(importlib.util.find_spec("alphafold3").submodule_search_locations)))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "alphafold3")
        shutil.copytree(package, copy, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        original = (copy / EDITED).read_text()

        def edit(text: str) -> Path:
            (copy / EDITED).write_text(original + text)
            return copy.parent

        yield edit


def started(folder: str, *arguments: str, repeats: int = 5) -> float:
    """Seconds of pytest in `folder`, the fastest of some."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True, env={**os.environ, "PYTEST_ADDOPTS": ""})
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main()
