"""The model's own names for what stands in a compiled program: its components, and lines of its sources."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from pytest_af3mem.records.holders import UNNAMED
from pytest_af3mem.worker.xla.executable import Buffer, Instruction, Program

ARGUMENTS = ("parameters", "key", "features")
"""The arguments of a program as it is compiled; the names of XLA's parameters begin with them."""

PARAMETERS = (ARGUMENTS[0], "params")
"""What the argument that holds the parameters is called: ours, and as Haiku and Flax call it."""


_NO_MODULE = re.compile(
    r"jit\(.*|while|body|cond|closed_call|checkpoint|rematted_computation|eval_jaxpr|branch_\d+_fun|"  # JAX's
    r"|[~_].*|.*->.*"  # Haiku's, of methods, stacks of layers and einsums; functions of the model
)
_TRANSFORMED = re.compile(r"^(?:(?:vmap|jvp|transpose)\()+(.*?)\)*$")
_KEY = re.compile(r"\['([^']*)'\]|\[(\d+)\]|\.(\w+)")
_HAIKU_CALL = "haiku/_src/module.py"  # the frames between a module and the one that calls it
_DEEPEST = 100
_SEARCHED = 50


def component(scope: str) -> str:
    """A name scope without the parts that are JAX's and Haiku's: `jit(apply)/a/vmap(b)/while/body/c` -> `a/b/c`.

    Empty where nothing is left.
    """
    return "/".join(name for name, _ in itertools.groupby(_names(scope)))


def _names(scope: str) -> list[str]:
    """Those of modules. One that calls its base class, or a method of its own, is in it twice or more in a row."""
    names = (_TRANSFORMED.sub(r"\1", part) for part in scope.split("/"))
    return [name for name in names if not _NO_MODULE.fullmatch(name)]


def of_operation(op_name: str) -> str:
    """The component of an operation, whose name ends with a primitive, or with what tokamax says of its kernel."""
    return component(_scope(op_name))


def _scope(op_name: str) -> str:
    scope, tokamax, _ = op_name.partition("tokamax:{")
    return scope if tokamax else scope.rpartition("/")[0].removesuffix("/kernel")  # which Pallas calls each of its own


def of_argument(op_name: str) -> str:
    """The component of an argument: the module of a parameter, `parameters['a/~/b']['weights']` -> `a/b`; `batch/` and the name
    of a feature; of a program that is not ours its own name, `state[1].mean` -> `state/1/mean`."""
    name = argument(op_name)
    keys = ["".join(groups) for groups in _KEY.findall(op_name)]
    if name in PARAMETERS:
        return component("/".join(keys[:-1]))
    return "" if name == ARGUMENTS[1] else "/".join(("batch" if name == ARGUMENTS[2] else name, *keys))


def argument(op_name: str) -> str:
    """The argument that an XLA parameter is, or is part of: `parameters['a']['b']` -> `parameters`."""
    return re.split(r"[\[.]", op_name, maxsplit=1)[0]


class Names:
    """Names of what is in `program`. Source lines are those of `packages`: their folders or files, the model's own first.

    A layer, which has parameters and no module below it, counts to the module that holds it: `outer_product_mean`, and not
    its `layer_norm_input`. Only right below the whole model does it stand for itself.
    """

    def __init__(self, program: Program, packages: Sequence[str]):
        self._program = program
        self._packages = packages
        self._components: dict[int, str] = {}
        modules = {of_argument(one.op_name) for one in program.instructions.values() if self.is_argument(one)}
        holding = {name.rpartition("/")[0] for name in modules}
        self._layers = {name for name in modules - holding if name.count("/") > 1}

    def is_argument(self, instruction: Instruction) -> bool:
        return instruction.opcode == "parameter" and instruction.computation == self._program.entry

    def component(self, buffer: Buffer) -> str:
        """The component that a buffer belongs to.

        What a loop carries or fills belongs to the outermost of the loops that it passes through, unless something more deeply
        within that loop made it.
        """
        made = self._component(buffer.instruction)
        loops = sorted((self._component(loop) for loop in self.loops(buffer)), key=lambda name: name.count("/"))
        return (loops[0] if loops and f"{loops[0]}/".startswith(f"{made}/" if made else "") else made) or UNNAMED

    def loops(self, buffer: Buffer) -> list[int]:
        """The loops that carry a buffer."""
        return [one for one in (buffer.instruction, *buffer.places) if self._program.instructions[one].opcode == "while"]

    def source(self, buffer: Buffer) -> str:
        """The line of the model that made a buffer, as `alphafold3/model/model.py:209`; empty where it is not known."""
        for identity in self._near(buffer.instruction):
            instruction = self._program.instructions[identity]
            if instruction.frame:
                return self._line(instruction.frame, self._calls_of_layer(instruction.op_name))
        return ""

    def _component(self, identity: int) -> str:
        if identity not in self._components:
            near = (self._program.instructions[one] for one in self._near(identity))
            found = next((self._named(one) for one in near if one.op_name), "")
            self._components[identity] = found.rpartition("/")[0] if found in self._layers else found
        return self._components[identity]

    def _named(self, instruction: Instruction) -> str:
        return of_argument(instruction.op_name) if self.is_argument(instruction) else of_operation(instruction.op_name)

    def _near(self, identity: int) -> Iterator[int]:
        """An instruction; what a fusion does, the last first; then what it works on. XLA names some of them only."""
        waiting, seen = [identity], {identity}
        while waiting and len(seen) < _SEARCHED:
            one = waiting.pop(0)
            yield one
            instruction = self._program.instructions[one]
            roots = [self._program.roots[called] for called in instruction.called] if instruction.opcode == "fusion" else []
            fresh = [near for near in (*roots, *instruction.operands) if near in self._program.instructions and near not in seen]
            waiting += fresh
            seen.update(fresh)

    def _calls_of_layer(self, op_name: str) -> int:
        """How many calls, one in the other, lead from where a layer is used to this operation of it; 0 outside of layers."""
        if of_operation(op_name) not in self._layers:
            return 0
        names = _names(_scope(op_name))
        return sum(1 for _ in itertools.takewhile(names[-1].__eq__, reversed(names)))

    def _line(self, frame: int, calls: int) -> str:
        """The innermost frame that is in one of the packages, tried in turn, but for those of the innermost `calls` of modules.

        Where a layer is used says more than how it works.
        """
        frames: list[tuple[str, int]] = []
        within = False
        for _ in range(_DEEPEST):
            if not frame:
                break
            file, _, number, frame = self._program.frames[frame]
            calls -= within and not file.endswith(_HAIKU_CALL)
            within = calls > 0 and file.endswith(_HAIKU_CALL)
            if calls <= 0:
                frames.append((file, number))
        for package in self._packages:
            beside = len(package) - len(package.rpartition("/")[2])
            for file, number in frames:
                if file == package or file.startswith(f"{package}/"):
                    return f"{file[beside:]}:{number}"
        return ""
