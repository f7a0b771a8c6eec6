"""What the commands print and write: facts about the machine, ratios, tables, files."""

import datetime
import json
import platform
import subprocess
from typing import NamedTuple

import torch

import jsgmath
from vae.files import write
from vae.training.environment import git_commit, processor, version


def machine(device):
    """Facts about the machine and the software that produce the numbers."""
    facts = dict(
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        git_commit=git_commit(),
        jsgmath=jsgmath.__version__,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        processor=processor(),
        **{package: version(package) for package in ("numpy", "torch", "triton")},
    )
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        facts |= dict(
            gpu=properties.name,
            gpu_bytes=properties.total_memory,
            l2_bytes=properties.L2_cache_size,
            driver=driver(),
            runtime=torch.version.cuda or torch.version.hip,
        )
    return facts


def driver():
    """The version of the GPU driver, or None if nvidia-smi cannot tell it."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return None


def write_json(path, results):
    write(path, json.dumps(results, indent=1) + "\n")


class Ratio(NamedTuple):
    """A ratio of medians; ``low`` and ``high`` combine the 20 % and 80 % quantiles in the least favourable way."""

    low: float
    median: float
    high: float

    def __str__(self):
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g})"


def ratio(above, below):
    return Ratio(above["q20"] / below["q80"], above["median"] / below["median"], above["q80"] / below["q20"])


def table(head, lines):
    """A Markdown table with aligned columns."""
    lines = [head, *([str(cell) for cell in line] for line in lines)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    rows.insert(1, " | ".join("-" * width for width in widths))
    return "".join(f"| {row} |\n" for row in rows)


def milliseconds(record):
    return "{:.4g} ({:.4g} to {:.4g})".format(*(1e3 * record[q] for q in ("median", "q20", "q80")))
