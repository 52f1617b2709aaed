"""Whether a compile that is ended at XLA's plan gives what a whole one gives: `python benchmarks/equal_bytes.py`.

Each program is traced once and compiled both ways. What is compared is all that a report says of it: every number of bytes,
kernels, holders and their lines; and the total with what JAX's own `memory_analysis` says. It prints a table and ends with 1 at a
difference.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from pytest_af3mem.worker.environment import ENVIRONMENT

os.environ.update(ENVIRONMENT)

from pytest_af3mem import gpus
from pytest_af3mem.commands.arguments import show
from pytest_af3mem.inputs.generate import generate
from pytest_af3mem.models import registry
from pytest_af3mem.session.settings import Settings
from pytest_af3mem.worker.xla import compile_process, program, target, tracing


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", default="512", help="token counts, or 'buckets' for all of the model's")
    parser.add_argument("--targets", default="h100-80gb")
    parser.add_argument("--models", default="alphafold3")
    parsed = parser.parse_args()
    sys.argv = sys.argv[:1]
    print("| model | target | tokens | total | constants | the plan's seconds | whole | |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |")
    differ = 0
    with tempfile.TemporaryDirectory() as folder:
        toolchain = target.toolchain(Path(folder))
        for name in parsed.models.split(","):
            model = registry.load(name)
            model.prepare(Settings().cache_dir, show)
            sizes = model.buckets() if parsed.tokens == "buckets" else map(int, parsed.tokens.split(","))
            for tokens in sizes:
                batch = model.featurise(generate(tokens).to_json(), model.buckets())
                for gpu in gpus.select(parsed.targets):
                    row, equal = compared(model, batch, gpu, toolchain)
                    differ += not equal
                    print(f"| {name} | {gpu.name} | {tokens} | {row}", flush=True)
    return 1 if differ else 0


def compared(model, batch, gpu, toolchain):
    with tracing.pretending(target.device(gpu)):
        forward = model.forward({}, gpu.compute_capability)
    parameters = tracing.parameters(forward, batch.features, gpu)
    lowered = tracing.lowered(forward, parameters, batch.features, gpu)
    options = {**forward.compiler_options, **target.FLAGS, "xla_gpu_cuda_data_dir": str(toolchain)}
    start = time.perf_counter()
    plan = compile_process.Compiler(gpu.target_config(), threads=1).plan(compile_process.job(lowered, options))
    halfway = time.perf_counter()
    executable = lowered.compile(compiler_options=options)
    end = time.perf_counter()
    memory = executable.memory_analysis()
    whole = program.of_executable(executable, forward, model.packages)
    ended = program.of_plan(plan.content, forward, model.packages)
    says = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes - memory.alias_size_in_bytes
    equal = whole == ended and ended.total_bytes == says + ended.constant_bytes
    told = "equal" if equal else f"DIFFERS: {whole.total_bytes} whole, {says} by memory_analysis"
    numbers = f"{ended.total_bytes} | {ended.constant_bytes} | {halfway - start:.1f} | {end - halfway:.1f}"
    return f"{numbers} | {told} |", equal


if __name__ == "__main__":
    sys.exit(main())
