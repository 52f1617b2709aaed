"""GPUs: the targets that can be named, their memory, and those of this machine."""

from pytest_af3mem.gpus.catalogue import Gpu as Gpu
from pytest_af3mem.gpus.catalogue import UnknownTarget as UnknownTarget
from pytest_af3mem.gpus.catalogue import find as find
from pytest_af3mem.gpus.catalogue import names as names
from pytest_af3mem.gpus.catalogue import select as select
