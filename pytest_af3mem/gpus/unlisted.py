"""What to say of a target that is not in the catalogue (`gpus`): what it may have meant, or what it is."""

from __future__ import annotations

import re
from collections.abc import Sequence

# NVIDIA's GPUs that people ask for and that are not in the catalogue: their names, and memory in GB as data sheets have it.
_NVIDIA = {
    "a2": ("A2", 16),
    "a10": ("A10", 24),
    "a10g": ("A10G", 24),
    "a30": ("A30", 24),
    "a40": ("A40", 48),
    "a800": ("A800", 80),
    "b300": ("B300", 288),
    "gb200": ("GB200", 186),
    "gb300": ("GB300", 288),
    "gh200": ("GH200", 96),
    "h100nvl": ("H100 NVL", 94),
    "h20": ("H20", 96),
    "h200nvl": ("H200 NVL", 141),
    "h800": ("H800", 80),
    "p40": ("P40", 24),
    "rtx3090": ("RTX 3090", 24),
    "rtx5090": ("RTX 5090", 32),
    "rtx8000": ("RTX 8000", 48),
    "rtxa5000": ("RTX A5000", 24),
}
_OTHERS = {
    "AMD": re.compile(r"(amd|instinct|radeon|gfx\d|mi\d{2,3}[axp]?(?!\w)|rx\d{3,4})"),
    "Apple": re.compile(r"(apple|mac|m[1-9](pro|max|ultra)?$)"),
    "Intel": re.compile(r"(intel|gaudi|arc[ab]?\d|pvc|max1\d{3})"),
}
_MEMORY = re.compile(r"[-_ .](\d{1,4})(?:gi?b?)?$")


def hint(name: str, known: Sequence[str]) -> str:
    """What follows `unknown target NAME`. No target is named that has more memory than the one that was asked for."""
    stated = nominal_gb(name)
    model = re.sub(r"^nvidia|[^a-z0-9]", "", _MEMORY.sub("", name) if stated else name)
    for maker, pattern in _OTHERS.items():
        if pattern.match(model):
            return f": AlphaFold 3 runs on NVIDIA's GPUs alone, and this is {maker}'s"
    if model in _NVIDIA:
        listed, usual_gb = _NVIDIA[model]
        smaller = _largest_within(stated or usual_gb, known)
        nearest = f": the nearest with no more memory {'are' if len(smaller) > 1 else 'is'} {' and '.join(smaller)}"
        return f": NVIDIA's {listed} ({stated or usual_gb} GB) is not in the catalogue yet{nearest if smaller else ''}"
    near = _near(name, [one for one in known if stated is None or (nominal_gb(one) or 0) <= stated])
    return f": did you mean {' or '.join(near)}?" if near else ""


def nominal_gb(name: str) -> int | None:
    """The memory that a name states: 80 for `h100-80gb`, 10 for `h100-80gb/1g.10gb`; None where it states none."""
    found = _MEMORY.search(name)
    return int(found[1]) if found else None


def _largest_within(memory_gb: int, known: Sequence[str]) -> list[str]:
    """The whole GPUs of most memory, by their names, that have at most so much."""
    whole = {name: nominal_gb(name) or 0 for name in known if "/" not in name}
    most = max((size for size in whole.values() if size <= memory_gb), default=0)
    return [name for name, size in whole.items() if size == most]


def _near(name: str, known: Sequence[str]) -> list[str]:
    """Up to three targets that `name` may have meant: those that it begins, else those spelt alike."""
    import difflib

    alike = [one for one in known if ("/" in one) == ("/" in name)]
    begun = [one for one in alike if one.startswith(name)] if name else []
    return begun[:3] or difflib.get_close_matches(name, alike, n=3, cutoff=0.6)
