"""Who holds the peak of a large input, and what a change there gives: `python benchmarks/case_study.py > docs/case-study.md`.

It measures the model, names the component whose temporaries hold most, copies the sources, changes that component there so
that it works in smaller pieces, and compares: by size, by component, and in the targets that an input newly fits. Two compiles
for each size, and for each target that comes into question; those that were made before are in the cache.
"""

import argparse
import ast
import dataclasses
import datetime
import importlib.util
import itertools
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pytest_af3mem import gpus
from pytest_af3mem.commands.arguments import show
from pytest_af3mem.gpus import Gpu
from pytest_af3mem.gpus.size import EXACT, Size, format_bytes
from pytest_af3mem.planning.compare import Comparison, Side, compare
from pytest_af3mem.planning.sweep import Grid, sweep
from pytest_af3mem.records.holders import by_component
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.reports import compare as compare_report
from pytest_af3mem.reports.columns import aligned
from pytest_af3mem.session.settings import Settings, resolve_auto

Edit = Callable[[Path], str]
"""Changes a package in a folder, and says what it changed."""


def number(file: str, pattern: str, smaller: str) -> Edit:
    """Writes a number behind each place in a file where the pattern is."""

    def edit(package: Path) -> str:
        text = (package / file).read_text()
        found = re.findall(rf"{pattern}(\d+)", text)
        if not found:
            sys.exit(f"{file} has nothing like {pattern!r}")
        (package / file).write_text(re.sub(rf"({pattern})\d+", rf"\g<1>{smaller}", text))
        return f"in pieces of {smaller} in the place of {' and '.join(dict.fromkeys(found))}"

    return edit


# The array that the rows are written to is made of the parts, by a product with 0: XLA makes one of zeros alone long before it is
# needed, where it lies beside what is largest.
_IN_ROWS = """
def _in_rows(make, *parts, rows=256):
    if hk.running_init():
        return make(jnp.concatenate(parts, axis=-1))
    size = parts[0].shape[0]
    rows = rows if size % rows == 0 else size

    def made(start):
        some = [jax.lax.dynamic_slice_in_dim(part, start, rows) for part in parts]
        return make(jnp.concatenate(some, axis=-1))

    def put(index, whole):
        return jax.lax.dynamic_update_slice_in_dim(whole, made(index * rows), index * rows, 0)

    one = hk.eval_shape(made, 0)
    whole = jnp.zeros((size, *one.shape[1:]), one.dtype) + (0 * parts[0][0, 0, 0]).astype(one.dtype)
    return hk.fori_loop(0, size // rows, put, whole)
"""


def pair_conditioning_in_rows(package: Path) -> str:
    """The conditioning of the diffusion head on pairs treats each pair of tokens alone, and all of them at once otherwise.

    The statements that make `pair_cond` of `features_2d` become a function, which is given some rows of the pairs at a time.
    """
    file = package / "model" / "network" / "diffusion_head.py"
    tree = ast.parse(file.read_text())
    for block in [node.body for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.If))]:
        making = list(itertools.takewhile(_makes_pairs, itertools.dropwhile(lambda one: not _makes_pairs(one), block)))
        if making and isinstance(making[0], ast.Assign):
            (made,) = ast.parse("def make(features_2d):\n  return pair_cond").body
            assert isinstance(made, ast.FunctionDef)
            made.body[:0] = making
            start = block.index(making[0])
            block[start : start + len(making)] = [made, *ast.parse("pair_cond = _in_rows(make, *features_2d)").body]
            break
    else:
        sys.exit(f"{file.name} makes its pair conditioning in another way than is known here")
    for node in ast.walk(tree):  # the parts are joined by rows, too
        if isinstance(node, ast.Assign) and _names(node.targets[0]) == {"features_2d"} and isinstance(node.value, ast.Call):
            node.value = node.value.args[0]
    file.write_text(ast.unparse(ast.fix_missing_locations(tree)) + "\n" + _IN_ROWS)
    return "256 rows of the pair conditioning made at once in the place of all"


def _makes_pairs(statement: ast.stmt) -> bool:
    """Whether `pair_cond` is assigned here, of something."""
    stored = [node for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return any(node.id == "pair_cond" for node in stored) and len(_names(statement)) > 1


def _names(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


# By the end of a component's name.
EDITS: dict[str, Edit] = {
    "diffusion_head": pair_conditioning_in_rows,
    "triangle_multiplication_outgoing": number("model/network/modules.py", r"channel_block: int = ", "8"),
    "triangle_multiplication_incoming": number("model/network/modules.py", r"channel_block: int = ", "8"),
    "outer_product_mean": number("model/network/modules.py", r"chunk_size: int = ", "32"),
    "pair_transition": number("model/model_config.py", r"\(None, (?=1024\))", "256"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=5120)
    parser.add_argument("--sizes", default="2048,3072,4096", help="other sizes to compare at")
    parser.add_argument("--target", default="h100-80gb", help="where it is compared")
    parser.add_argument("--targets", default="gpus", help="where it is looked whether an input newly fits")
    parser.add_argument("--fraction", default="95 %")
    parser.add_argument("--model", default="alphafold3")
    parser.add_argument("--sources", type=Path, help="the model's package or folder (default: the installed alphafold3)")
    parser.add_argument("--edit", help="FILE:PATTERN=NUMBER, in the place of those that are known for AlphaFold 3")
    parsed = parser.parse_args()
    spec = importlib.util.find_spec("alphafold3")
    if parsed.sources is None and (spec is None or spec.submodule_search_locations is None):
        sys.exit("AlphaFold 3 is not installed here")
    sources = parsed.sources or Path(next(iter(spec.submodule_search_locations)))
    usual = resolve_auto(Settings.read({"target": parsed.target, "model": parsed.model}))
    with tempfile.TemporaryDirectory() as scratch:
        trees = {name: Path(scratch, name) for name in ("as_it_is", "changed")}
        for tree in trees.values():
            shutil.copytree(sources, tree / sources.name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        roots = {name: tree if parsed.sources is None else tree / sources.name for name, tree in trees.items()}
        settings = {name: dataclasses.replace(usual, path=root) for name, root in roots.items()}
        first = _measured(settings["as_it_is"], parsed.tokens, parsed.target)
        holder = _largest(first)
        edit = number(*re.split("[:=]", parsed.edit, maxsplit=2)) if parsed.edit else _known(holder)
        changed = edit(trees["changed"] / sources.name)
        command = shlex.join(["benchmarks/case_study.py", *sys.argv[1:]])
        of = f"{first.model.distribution} with jax {first.software['jax']}"
        print(f"# {parsed.tokens:,} tokens\n\nMade by `{command}` on {datetime.date.today():%Y-%m-%d}, of {of}.\n")
        print(f"{format_bytes(first.total_bytes)} {first.conditions}, most of it held by:\n")
        print(*_shares(first), sep="\n")
        print(f"\nThe largest is `{holder}`. A copy of the model has it changed: {changed}.\n")
        old, new = (Side(name.upper(), name.replace("_", " "), one, {}) for name, one in settings.items())
        sizes = sorted({parsed.tokens, *map(int, filter(None, parsed.sizes.split(",")))})
        found = compare(old, new, sizes, {}, EXACT, show)
        print(f"```\n{compare_report.render_text(found)}```\n")
        fraction = Size.parse(parsed.fraction)
        candidates = _newly_fitting(found, gpus.select(parsed.targets), fraction)
        print(f"What newly fits, within {fraction} of the memory, measured for each of these targets itself:\n")
        print(*(_fits(settings, candidates, fraction) if candidates else ["Nothing, by these numbers."]), sep="\n")
    show("")


def _measured(settings: Settings, tokens: int, target: str) -> Peak:
    (curve,) = sweep(settings, Grid([settings.model], [gpus.find(target)], [tokens]), show).curves
    (answer,) = curve.answers.values()
    if not isinstance(answer, Peak):
        sys.exit(f"not judged: {answer}")
    return answer


def _largest(peak: Peak) -> str:
    """The component whose temporaries hold most at the peak."""
    temporary = dataclasses.replace(peak, holders=tuple(one for one in peak.holders if one.kind in ("temporary", "carry")))
    return next(iter(by_component(temporary)))


def _known(holder: str) -> Edit:
    found = EDITS.get(holder.rpartition("/")[2])
    if found is None:
        sys.exit(f"{holder} holds most, and no change is known that makes it work in smaller pieces: state one with --edit")
    return found


def _shares(peak: Peak) -> list[str]:
    shares = {name: size / peak.total_bytes for name, size in by_component(peak).items()}
    return [f"- {share:.0%} `{name}`" for name, share in shares.items() if share >= 0.01]


def _newly_fitting(found: Comparison, targets: Sequence[Gpu], fraction: Size) -> list[tuple[int, Gpu]]:
    """Sizes and targets of which the numbers for one target say, give or take 2 %, that the input fits after the change alone."""
    return [
        (pair.asked[0].tokens, target)
        for pair in found.pairs
        for target in targets
        if pair.peaks and pair.peaks[1].total_bytes * 0.98 <= fraction.of(target.memory_bytes) < pair.peaks[0].total_bytes * 1.02
    ]


def _fits(settings: dict[str, Settings], candidates: Sequence[tuple[int, Gpu]], fraction: Size) -> Iterator[str]:
    """What each of these inputs needs for its own target before and after."""
    rows = [("tokens", "target", "may use", "as it is", "changed", "")]
    for tokens, target in candidates:
        limit = fraction.of(target.memory_bytes)
        before, after = (_measured(one, tokens, target.name).total_bytes for one in settings.values())
        told = "newly fits" if after <= limit < before else "fits" if after <= limit else "does not fit"
        rows.append((str(tokens), target.name, *map(format_bytes, (limit, before, after)), told))
    yield from ("```", *aligned(rows, right={0, 2, 3, 4}), "```")


if __name__ == "__main__":
    main()
