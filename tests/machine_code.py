"""Compile the kernel for GPUs that need not be present and print, as JSON, what the machine code is made of.

python -m tests.machine_code        # without TRITON_INTERPRET, which would leave nothing to compile
"""

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from itertools import product

import torch
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from jsgmath.torch import kernels

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
DTYPES = {"fp32": torch.float32, "fp64": torch.float64, "bf16": torch.bfloat16, "fp16": torch.float16}


def case(target="sm_90", dtype="fp32", gaussians=1, n=20, dual=False, contiguous=True):
    return dict(target=target, dtype=dtype, gaussians=gaussians, n=n, dual=dual, contiguous=contiguous)


CASES = [
    *(case(n=n, gaussians=gaussians) for n, gaussians in product((10, 20, 50, 64, 4096), (1, 2))),
    *(case(dual=True, gaussians=gaussians) for gaussians in (1, 2)),
    case(contiguous=False),
    *(case(dtype=dtype, gaussians=2) for dtype in ("fp64", "bf16")),
    *(case(target=target, gaussians=gaussians) for target in ("sm_80", "sm_100", "gfx942") for gaussians in (1, 2)),
]


def compiled(target, dtype, gaussians, n, dual, contiguous):
    """The kernel with gradients, as `kernels.rows` launches it on many rows that start on 16-byte boundaries."""
    sizes, warps = kernels.tiling(n, False, DTYPES[dtype].itemsize, TARGETS[target].warp_size)
    stride = n if contiguous else 2 * n
    constants = dict(
        sizes, N=n, S_MEAN1=stride, S_LOGVAR1=stride, S_MEAN2=stride, S_LOGVAR2=stride, S_ALPHA=0, S_UPSTREAM=0,
        FLOAT=tl.float64 if dtype == "fp64" else tl.float32, DUAL=dual, REVERSE=True,
        GRAD=True, BY_ALPHA=False, PRESENT=False,
        alphas=None, upstream=None, by_alpha=None,
        **({} if gaussians == 2 else dict.fromkeys(("mean2", "logvar2", "by_logvar2"))),
    )  # fmt: skip
    working = "fp64" if dtype == "fp64" else "fp32"
    types = dict(rows="i32", alpha="fp64", scale="fp64", value=f"*{working}") | dict.fromkeys(constants, "constexpr")
    names = kernels.jsg_kernel.arg_names
    signature = {name: types.get(name, f"*{dtype}") for name in names}
    source = ASTSource(
        fn=kernels.jsg_kernel,
        signature=signature,
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs={(i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if signature[name].startswith("*")},
    )
    return triton.compile(source, target=TARGETS[target], options={"num_warps": warps}), sizes, warps


def nvidia_report(assembled):
    """Registers, bytes of stack and local memory (where spills go), and loads and stores by width in bits."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(assembled["cubin"])
        file.flush()
        usage = tool(triton.knobs.nvidia.cuobjdump.path, "-res-usage", file.name)
        sass = tool(triton.knobs.nvidia.nvdisasm.path, file.name)
    registers, stack, local = re.search(r"REG:(\d+) STACK:(\d+) .*?LOCAL:(\d+)", usage).groups()
    return dict(
        registers=int(registers),
        spilled=int(stack) + int(local) + len(re.findall(r"\b(?:LDL|STL)\b", sass)),
        loads=Counter(width or "32" for width in re.findall(r"\bLDG\.E(?:\.(\d+))?", sass)),
        stores=Counter(width or "32" for width in re.findall(r"\bSTG\.E(?:\.(\d+))?", sass)),
    )


def amd_report(assembled):
    """The same from the metadata and text of the assembly."""
    text = assembled["amdgcn"]
    number = {name: int(value) for name, value in re.findall(r"\.(\w+): +(\d+)", text)}
    widths = {"dword": "32", "dwordx2": "64", "dwordx3": "96", "dwordx4": "128"}
    access = {
        kind: Counter(widths[width] for width in re.findall(rf"\bglobal_{kind}_(dword(?:x\d)?)\b", text))
        for kind in ("load", "store")
    }
    return dict(
        registers=number["vgpr_count"],
        spilled=number["vgpr_spill_count"] + number["sgpr_spill_count"] + number["private_segment_fixed_size"],
        loads=access["load"],
        stores=access["store"],
    )


def tool(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main():
    reports = []
    for options in CASES:
        assembled = compiled(**options).asm
        reports.append(options | (nvidia_report if "cubin" in assembled else amd_report)(assembled))
    json.dump(reports, sys.stdout)


if __name__ == "__main__":
    main()
