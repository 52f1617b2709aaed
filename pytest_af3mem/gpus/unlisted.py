"""What to say of a target that is not in the catalogue (`gpus`): what it may have meant, or what it is."""

from __future__ import annotations

import re
from collections.abc import Sequence

# NVIDIA's GPUs that people ask for and that are not in the catalogue, with their memory in GB as data sheets have it.
_NVIDIA = {
    "A2": 16, "A10G": 24, "A16": 16, "A800": 80, "GH200": 144, "H20": 96, "H800": 80, "L2": 24, "L20": 48, "P40": 24,
    "RTX 2080 Ti": 11, "RTX 3060": 12, "RTX 3070": 8, "RTX 3080": 10, "RTX 3080 Ti": 12, "RTX 3090 Ti": 24,
    "RTX 4060": 8, "RTX 4060 Ti": 8, "RTX 4070": 12, "RTX 4070 Ti": 12, "RTX 4080": 16, "RTX 5060": 8,
    "RTX 5060 Ti": 8, "RTX 5070": 12, "RTX 5070 Ti": 16, "RTX 4000": 8, "RTX 5000": 16, "RTX 6000": 24, "RTX 8000": 48,
    "RTX A4000": 16, "RTX A4500": 20, "RTX A5000": 24, "RTX A5500": 24, "RTX 4000 Ada": 20, "RTX 5000 Ada": 32,
    "RTX PRO 4000": 24, "RTX PRO 5000": 48,
}  # fmt: skip
_OTHERS = {
    "AMD": re.compile(r"(amd|instinct|radeon|gfx\d|mi\d{2,3}[axp]?(?!\w)|rx\d{3,4})"),
    "Apple": re.compile(r"(apple|mac|m[1-9](pro|max|ultra)?$)"),
    "Intel": re.compile(r"(intel|gaudi|arc[ab]?\d|pvc|max1\d{3})"),
}
_OF_MAKER = {"AMD": ", for which XLA compiles only where ROCm is installed as well as jax-rocm7-plugin"}
_MEMORY = re.compile(r"[-_ .](\d{1,3})(?:gi?b?)?$")


def hint(name: str, known: Sequence[str]) -> str:
    """What follows `unknown target NAME`. No target is named that has more memory than the one that was asked for."""
    stated, model = nominal_gb(name), _model(name)
    for maker, pattern in _OTHERS.items():
        if pattern.match(model):
            return f": AlphaFold 3 runs on NVIDIA's GPUs alone, and this is {maker}'s{_OF_MAKER.get(maker, '')}"
    possible = [one for one in known if stated is None or (nominal_gb(one) or 0) <= stated]
    same = [one for one in possible if _model(one) == model]
    unlisted = next((one for one in _NVIDIA if _model(one.lower()) == model), None)
    if unlisted and (stated or not same):
        memory_gb = stated or _NVIDIA[unlisted]
        smaller = _largest_within(memory_gb, known)
        nearest = f"; the nearest with no more memory {'are' if len(smaller) > 1 else 'is'} {' and '.join(smaller)}"
        way_out = f"describe it in a file, --af3-target FILE.txtpb{nearest if smaller else ''}"
        return f": NVIDIA's {unlisted} ({memory_gb} GB) is not in the catalogue yet: {way_out}"
    near = same[:3] or _near(name, possible)
    return f": did you mean {' or '.join(near)}?" if near else ""


def _model(name: str) -> str:
    """The name of a GPU without its memory, as all spellings of it have it: `rtx3090`, `h100nvl`."""
    plain = re.sub(r"^nvidia|geforce|quadro|tesla|rtx(?=[^a-z0-9]*a\d)|[^a-z0-9/]", "", _MEMORY.sub("", name))
    return re.sub(r"rtxpro(\d+)", r"rtx\1pro", plain)


def nominal_gb(name: str) -> int | None:
    """The memory that a name states: 80 for `h100-80gb`, 10 for `h100-80gb/1g.10gb`; None where it states none."""
    found = _MEMORY.search(name)
    return int(found[1]) if found else None


def _largest_within(memory_gb: int, known: Sequence[str]) -> list[str]:
    """Up to three whole GPUs of most memory, by their names, that have at most so much."""
    whole = {name: nominal_gb(name) or 0 for name in known if "/" not in name}
    most = max((size for size in whole.values() if size <= memory_gb), default=0)
    return [name for name, size in whole.items() if size == most][:3]


def _near(name: str, known: Sequence[str]) -> list[str]:
    """Up to three targets that `name` may have meant: those that it begins, else the nearest in spelling and others as small."""
    import difflib

    alike = [one for one in known if ("/" in one) == ("/" in name)]
    begun = [one for one in alike if one.startswith(name)] if name else []
    spelt = difflib.get_close_matches(name, alike, n=3, cutoff=0.6)
    return begun[:3] or [one for one in spelt if (nominal_gb(one) or 0) <= (nominal_gb(spelt[0]) or 0)]
