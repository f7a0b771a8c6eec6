"""Digests that show whether a run's files are damaged, and to which run they belong."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def digest(value: Any) -> str:
    """The sha256 of tensors, numbers and strings in dictionaries and lists, on any device and in any memory layout.

    >>> digest({"epoch": 1, "weights": torch.zeros(2)})[:16]
    '9b164bb473be79c3'
    """
    total = hashlib.sha256()
    add(total, value)
    return total.hexdigest()


def add(total: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        total.update(f"tensor {value.dtype} {tuple(value.shape)} ".encode())
        total.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    elif isinstance(value, Mapping):
        total.update(f"mapping {len(value)} ".encode())
        for key in sorted(value, key=str):
            add(total, key)
            add(total, value[key])
    elif isinstance(value, list | tuple):
        total.update(f"list {len(value)} ".encode())
        for item in value:
            add(total, item)
    else:
        total.update(f"{json.dumps(value)} ".encode())


def identity(settings: Mapping[str, Any], sha256: Mapping[str, str]) -> str:
    """The digest of what determines a run: its images and settings, without the number of epochs, which may grow."""
    return digest({"settings": {**settings, "epochs": None}, "images": sha256})


def measured(rows: Sequence[Mapping[str, Any]]) -> str:
    """The digest of the rows of metrics.jsonl without the speeds, which differ each time a run is repeated."""
    return digest([{name: value for name, value in row.items() if name != "images_per_second"} for row in rows])
