"""Who holds the peak of a large input, and what a change there gives: `python benchmarks/case_study.py > docs/case-study.md`.

It measures the model, names the component whose temporaries hold most, copies the sources, changes one number there that makes
that component work in smaller pieces, and compares: by size, by component, and in the targets that the input fits. Two compiles
for each size and target. Of the model's sources nothing is written but the number.
"""

import argparse
import dataclasses
import datetime
import importlib.util
import re
import shutil
import sys
import tempfile
from pathlib import Path

from pytest_af3mem import gpus
from pytest_af3mem.attribution import by_component
from pytest_af3mem.commands.arguments import show
from pytest_af3mem.peak import Peak
from pytest_af3mem.planning.compare import Side, compare
from pytest_af3mem.planning.sweep import Grid, sweep
from pytest_af3mem.reports import compared
from pytest_af3mem.reports.columns import aligned
from pytest_af3mem.settings import Settings
from pytest_af3mem.size import EXACT, Size, format_bytes

# By the end of a component's name: the file, what precedes the number, and the smaller number.
EDITS = {
    "triangle_multiplication_outgoing": ("model/network/modules.py", r"channel_block: int = ", "8"),
    "triangle_multiplication_incoming": ("model/network/modules.py", r"channel_block: int = ", "8"),
    "outer_product_mean": ("model/network/modules.py", r"chunk_size: int = ", "32"),
    "pair_transition": ("model/model_config.py", r"\(None, (?=1024\))", "256"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=5120)
    parser.add_argument("--sizes", default="1024,2048,3072,4096", help="other sizes to compare at")
    parser.add_argument("--target", default="h100-80gb", help="where it is compared")
    parser.add_argument("--targets", default="cards", help="where it is looked whether the input fits")
    parser.add_argument("--fraction", default="95 %")
    parser.add_argument("--model", default="alphafold3")
    parser.add_argument("--sources", type=Path, help="the model's package or folder (default: the installed alphafold3)")
    parser.add_argument("--edit", help="FILE:PATTERN=NUMBER, in the place of those that are known for AlphaFold 3")
    parsed = parser.parse_args()
    spec = importlib.util.find_spec("alphafold3")
    if parsed.sources is None and (spec is None or spec.submodule_search_locations is None):
        sys.exit("AlphaFold 3 is not installed here")
    sources = parsed.sources or Path(next(iter(spec.submodule_search_locations)))
    usual = Settings.read({"target": parsed.target, "model": parsed.model})
    with tempfile.TemporaryDirectory() as scratch:
        trees = {name: Path(scratch, name) for name in ("as_it_is", "changed")}
        for tree in trees.values():
            shutil.copytree(sources, tree / sources.name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        roots = {name: tree if parsed.sources is None else tree / sources.name for name, tree in trees.items()}
        settings = {name: dataclasses.replace(usual, path=root) for name, root in roots.items()}
        first = _measured(settings["as_it_is"], parsed.tokens, parsed.target)
        holder = _largest(first)
        edit = tuple(re.split("[:=]", parsed.edit, maxsplit=2)) if parsed.edit else _known(holder)
        before = _change(trees["changed"] / sources.name / edit[0], edit[1], edit[2])
        print(
            f"# {parsed.tokens:,} tokens\n\nMade by `benchmarks/case_study.py` on {datetime.date.today():%Y-%m-%d}, "
            f"of {first.model.distribution} with jax {first.software['jax']}.\n"
        )
        print(f"{format_bytes(first.total_bytes)} {first.conditions}, most of it held by:\n")
        print(*_shares(first), sep="\n")
        print(f"\nThe largest, `{holder}`, works in pieces of {before}. A copy of the model with pieces of {edit[2]}:\n")
        old, new = (Side(name.upper(), name.replace("_", " "), one, {}) for name, one in settings.items())
        sizes = sorted({parsed.tokens, *map(int, filter(None, parsed.sizes.split(",")))})
        print(f"```\n{compared.render_text(compare(old, new, sizes, {}, EXACT, show))}```\n")
        print(*_fits(settings, parsed), sep="\n")
    show("")


def _measured(settings: Settings, tokens: int, target: str) -> Peak:
    (curve,) = sweep(settings, Grid([settings.model], [gpus.find(target)], [tokens]), show).curves
    (answer,) = curve.answers
    if not isinstance(answer, Peak):
        sys.exit(f"not judged: {answer}")
    return answer


def _largest(peak: Peak) -> str:
    """The component whose temporaries hold most at the peak."""
    temporary = dataclasses.replace(peak, holders=tuple(one for one in peak.holders if one.kind in ("temporary", "carry")))
    return next(iter(by_component(temporary)))


def _known(holder: str) -> tuple[str, str, str]:
    found = EDITS.get(holder.rpartition("/")[2])
    if found is None:
        sys.exit(f"{holder} holds most, and no number is known that makes it work in smaller pieces: state one with --edit")
    return found


def _change(file: Path, pattern: str, number: str) -> str:
    """Writes the number behind each place where the pattern is; the one that stood there."""
    text = file.read_text()
    found = re.findall(rf"{pattern}(\d+)", text)
    if not found:
        sys.exit(f"{file.name} has nothing like {pattern!r}")
    file.write_text(re.sub(rf"({pattern})\d+", rf"\g<1>{number}", text))
    return " and ".join(dict.fromkeys(found))


def _shares(peak: Peak) -> list[str]:
    return [f"- {size / peak.total_bytes:.0%} `{name}`, {format_bytes(size)}" for name, size in [*by_component(peak).items()][:8]]


def _fits(settings: dict[str, Settings], parsed: argparse.Namespace) -> list[str]:
    """For each target whether the input fits before and after."""
    targets, fraction = gpus.select(parsed.targets), Size.parse(parsed.fraction)
    needs = [
        {curve.target: curve.answers[0] for curve in sweep(one, Grid([one.model], targets, [parsed.tokens]), show).curves}
        for one in settings.values()
    ]
    rows = [("target", "may use", "as it is", "changed", "")]
    for target in targets:
        limit = fraction.of(target.memory_bytes)
        both = [need[target.name] for need in needs]
        fits = [isinstance(one, Peak) and one.total_bytes <= limit for one in both]
        told = "newly fits" if fits == [False, True] else "fits" if all(fits) else "no longer fits" if fits[0] else "does not fit"
        words = [format_bytes(one.total_bytes) if isinstance(one, Peak) else "not judged" for one in both]
        rows.append(
            (target.name, format_bytes(limit), *words, told if all(isinstance(one, Peak) for one in both) else "not judged")
        )
    return [
        f"{parsed.tokens:,} tokens on each card, within {fraction} of its memory:\n",
        "```",
        *aligned(rows, right={1, 2, 3}),
        "```",
    ]


if __name__ == "__main__":
    main()
