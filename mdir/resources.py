"""What a run used, and with which code."""

import importlib.metadata
import importlib.util
import os
import resource
import time
from pathlib import Path

import torch

from mdir.origin import GIB, git_head

PACKAGES = {
    "numpy": "numpy",
    "torch": "torch",
    "torchvision": "torchvision",
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
}


class Resources:
    """Processor time and disk traffic of this process, added to those of earlier ones."""

    def __init__(self, earlier: dict | None = None):
        self._earlier = earlier or {"cpu": {}, "io": {}}
        self._start = time.time()

    def cumulative(self) -> dict:
        """``cpu`` in seconds and ``io`` since the run began, over all its processes."""
        own = {"cpu": self._cpu(), "io": _io()}
        total = {
            part: {key: _round(value + self._earlier[part].get(key, 0)) for key, value in d.items()}
            for part, d in own.items()
        }
        cpu = total["cpu"]
        cpu["avg_cores"] = round(cpu["tree_used_s"] / max(cpu["proc_wall_s"], 1e-3), 1)
        return total

    def usage(self) -> dict:
        """The step's ``resource_usage``."""
        memory = {"ram_memory_gib": round(_status_kib("VmPeak") / 2**20, 3)}
        if torch.cuda.is_available():
            free, whole = torch.cuda.mem_get_info()
            memory["gpu"] = {
                "memory_nvidia_gib": round((whole - free) / GIB, 3),
                "memory_torch_gib": round(torch.cuda.max_memory_allocated() / GIB, 3),
            }
        return {**memory, **self.cumulative()}

    def state_dict(self) -> dict:
        """What a checkpoint keeps, in the form of the published project."""
        return {"name": "ResourceUsage", "params": {}, "cumulative_stats": self.cumulative()}

    def _cpu(self):
        times = os.times()
        return {
            "user_s": times.user,
            "system_s": times.system,
            "children_user_s": times.children_user,
            "children_system_s": times.children_system,
            "proc_wall_s": time.time() - self._start,
            "tree_used_s": sum(times[:4]),
        }


def _io():
    counts = resource.getrusage(resource.RUSAGE_SELF)
    found = {"read_count": counts.ru_inblock, "write_count": counts.ru_oublock}
    traffic = {"read_gib": 0.0, "write_gib": 0.0}
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return {**found, **traffic}
    numbers = {key: int(value) for key, _, value in (line.partition(": ") for line in lines)}
    return {
        "read_count": numbers["syscr"],
        "write_count": numbers["syscw"],
        "read_gib": numbers["read_bytes"] / GIB,
        "write_gib": numbers["write_bytes"] / GIB,
    }


def _status_kib(field):
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return next((int(line.split()[1]) for line in lines if line.startswith(field + ":")), 0)


def _round(value):
    return round(value, 3)


def code_version() -> dict:
    """The commit of this code, if it is a checkout, and versions of what computes."""
    packages = {}
    for module, distribution in PACKAGES.items():
        spec = importlib.util.find_spec(module)
        if spec is not None:
            version = importlib.metadata.version(distribution)
            packages[module] = {"version": version, "file": spec.origin}
    return {"mdir_git": git_head(), "python_packages": packages}
