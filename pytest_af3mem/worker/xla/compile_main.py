"""The process that compiles one program. It needs the standard library and JAX alone: `compile_process` starts and ends it.

Its argument is a folder with a `process.json`: where Python looks for modules, and the target. When a line comes on standard
input, the folder has the program (`program.mlirbc`), XLA's options for it (`options.pb`) and a `job.json`: options to add, and
whether to keep the `executable`. It ends with its parent, whose end closes its standard input.
"""

import json
import os
import select
import sys
import threading
from pathlib import Path
from typing import Any


def _end_with(parent: int) -> None:
    hung_up = select.poll()
    hung_up.register(0, 0)
    while os.getppid() == parent and not hung_up.poll(1000):
        pass
    os._exit(1)


def main(folder: Path) -> None:
    started_with = json.loads((folder / "process.json").read_text())
    threading.Thread(target=_end_with, args=(started_with["parent"],), daemon=True).start()
    sys.path[:] = started_with["path"]
    from jax._src.interpreters import mlir
    from jax.experimental import topologies
    from jaxlib import _jax, xla_client
    from jaxlib.mlir import ir

    topology = topologies.get_topology_desc("", platform="cuda", target_config=started_with["target"], topology="1x1x1")
    device: Any = topology.devices[0]
    if not sys.stdin.readline():
        os._exit(1)
    job = json.loads((folder / "job.json").read_text())
    options = xla_client.CompileOptions.ParseFromString((folder / "options.pb").read_bytes())
    options.env_option_overrides = [*options.env_option_overrides, *job["options"].items()]
    bytecode = (folder / "program.mlirbc").read_bytes()
    with mlir.make_ir_context():
        program = ir.Module.parse(bytecode)
    how = {"executable_devices": _jax.DeviceList((device,)), "compile_options": options}
    try:
        compiled = device.client.compile(program, **how)
    except TypeError:  # JAX 0.7 takes the bytes
        compiled = device.client.compile(bytecode, **how)
    if job["keep"]:
        (folder / "executable").write_bytes(compiled.serialize())
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
