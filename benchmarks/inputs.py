"""How fast inputs are made, read and counted. Run where AlphaFold 3 is installed: `python benchmarks/inputs.py`.

It takes a minute and prints:
- jobs a second of the strategy `jobs(max_tokens=1024, max_msa_depth=100)`, drawn by `@given` as tests do, and counted;
- of the sizes 1 to 10,000, the share that `generate` hits exactly, and jobs a second;
- jobs a second read from JSON.
"""

import time
from collections.abc import Callable

from hypothesis import Phase, find, given, settings

from pytest_af3mem import Job, generate, jobs
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings

EXAMPLES = 2000
SIZES = range(1, 10_001)


def rate(what: str, number: int, work: Callable[[], object]) -> None:
    start = time.perf_counter()
    work()
    print(f"{what}: {number / (time.perf_counter() - start):.0f} a second", flush=True)


def main() -> None:
    session = Session(Settings())
    try:
        assert session.components  # made before the clock starts
        drawn: list[Job] = []
        find(jobs(), lambda job: True)  # imports RDKit and looks the components up

        @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.generate])
        @given(jobs(max_tokens=1024, max_msa_depth=100))
        def draw(job: Job) -> None:
            drawn.append(job)

        rate(f"jobs(max_tokens=1024, max_msa_depth=100), {EXAMPLES} drawn", EXAMPLES, draw)
        rate("counted", len(drawn), lambda: [session.tokens(job) for job in drawn])
        texts = [job.to_json() for job in drawn]
        rate("read from JSON", len(texts), lambda: [Job.from_json(text) for text in texts])
        exact: list[bool] = []
        rate("generate(N)", len(SIZES), lambda: exact.extend(session.tokens(generate(size)) == size for size in SIZES))
        print(f"generate(N) is exact for {sum(exact)} of {len(SIZES)} sizes")
    finally:
        session.close()


if __name__ == "__main__":
    main()
