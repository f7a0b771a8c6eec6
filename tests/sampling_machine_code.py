"""Like `machine_code.py` for the kernels of `sample_and_jsg`, with the number of instructions.

python -m tests.sampling_machine_code        # without TRITON_INTERPRET, which would leave nothing to compile
"""

import json
import re
import sys
import tempfile
from itertools import product

import torch
import triton
import triton.language as tl
from triton.compiler import ASTSource

from jsgmath.torch import sampling_kernels as kernels
from tests.machine_code import DTYPES, TARGETS, amd_report, nvidia_report, tool


def case(target="sm_90", dtype="fp32", n=20, dual=False, contiguous=True, per_row=False):
    return dict(target=target, dtype=dtype, n=n, dual=dual, contiguous=contiguous, per_row=per_row)


CASES = [
    options | {"kernel": kernel}
    for kernel, options in product(
        ("sample", "sample_backward"),
        [
            *(case(n=n) for n in (10, 20, 50, 64, 4096)),
            case(dual=True),
            case(contiguous=False),
            case(per_row=True),
            *(case(dtype=dtype) for dtype in ("bf16", "fp64")),
            *(case(target=target) for target in ("sm_80", "sm_100", "gfx942")),
        ],
    )
]


def compiled(kernel, target, dtype, n, dual, contiguous, per_row):
    """The kernel as it is launched on many rows that start on 16-byte boundaries, with a tensor for seed.

    alpha is a number and has no gradient, or ``per_row`` a tensor with one.
    """
    kernel = getattr(kernels, f"{kernel}_kernel")
    tiles, warps = kernels.tiling(10**6, n, TARGETS[target].warp_size)
    stride = n if contiguous else 2 * n
    names = kernel.arg_names
    constants = dict(
        ALIGNED=True, **tiles, S_MEAN=stride, S_LOGVAR=stride, S_ALPHA=1 if per_row else 0, S_BY_Z=n, S_BY_VALUE=1,
        ALPHA_GRAD=per_row, FLOAT=tl.float64 if dtype == "fp64" else tl.float32, DUAL=dual, REVERSE=True,
        LARGEST=torch.finfo(torch.promote_types(DTYPES[dtype], torch.float32)).max,
        seed_number=0, **({} if per_row else {"alpha": None}),
    )  # fmt: skip
    constants = {name: value for name, value in constants.items() if name in names}
    working = "fp64" if dtype == "fp64" else "fp32"
    types = dict(
        alpha="*fp64", number="fp64", seed="*i64", seed_used="*i64", by_alpha=f"*{working}", rows="i32", offset="i64"
    ) | dict.fromkeys(constants, "constexpr")
    signature = {name: types.get(name, f"*{dtype}") for name in names}
    source = ASTSource(
        fn=kernel,
        signature=signature,
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs={(i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if signature[name].startswith("*")},
    )
    return triton.compile(source, target=TARGETS[target], options={"num_warps": warps}), tiles, warps


def instructions(assembled, tiles, warps):
    """Per element of a whole tile: half the program, the other half being the path of the last one."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(assembled["cubin"])
        file.flush()
        sass = tool(triton.knobs.nvidia.nvdisasm.path, file.name)
    names = re.findall(r"/\*[0-9a-f]{4,5}\*/ +(?:@!?U?P\w+ +)?([A-Z0-9]+)", sass)
    return sum(name != "NOP" for name in names) / 2 / (tiles["T"] / (32 * warps))


def main():
    reports = []
    for options in CASES:
        program, tiles, warps = compiled(**options)
        if "cubin" in program.asm:
            report = nvidia_report(program.asm) | {"instructions": instructions(program.asm, tiles, warps)}
        else:
            report = amd_report(program.asm)
        reports.append(options | report)
    json.dump(reports, sys.stdout)


if __name__ == "__main__":
    main()
