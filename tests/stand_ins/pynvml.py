"""A stand-in for NVIDIA's module, for a machine without a GPU: one H100 whose driver answers, and nothing behind it."""

from types import SimpleNamespace

nvmlMemory_v2 = 2


class NVMLError(Exception):
    pass


def nvmlInit():
    pass


def nvmlShutdown():
    pass


def nvmlSystemGetDriverVersion():
    return "570.124.06"


def nvmlDeviceGetCount():
    return 1


def nvmlDeviceGetHandleByIndex(index):
    return index


def nvmlDeviceGetHandleByUUID(uuid):
    return 0


def nvmlDeviceGetUUID(handle):
    return "GPU-stand-in"


def nvmlDeviceGetName(handle):
    return "NVIDIA H100 80GB HBM3"


def nvmlDeviceGetMigMode(handle):
    return [0, 0]


def nvmlDeviceGetMemoryInfo(handle, version=None):
    return SimpleNamespace(total=80 * 2**30, used=0)


def nvmlDeviceGetComputeRunningProcesses(handle):
    return []


nvmlDeviceGetGraphicsRunningProcesses = nvmlDeviceGetComputeRunningProcesses
