"""Compiles the kernels for several GPUs, which need not be present, and prints counts of their machine code as JSON.

python -m tests.torch.machine_code        # without TRITON_INTERPRET, which would leave nothing to compile
"""

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import product

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from jsgmath.torch.triton import diagonal as kernels
from jsgmath.torch.triton import full as full_kernels
from jsgmath.torch.triton import sampling as sampling_kernels

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
BYTES = {"fp32": 4, "fp64": 8, "bf16": 2, "fp16": 2}
NS = 10, 20, 50, 64, 4096


def case(kernel="jsg", n=20, target="sm_90", dtype="fp32", gaussians=1, dual=False, strided=False):
    given = locals()
    return dict(given)


CASES = [
    *(case(n=n, target=target) for target, n in product(TARGETS, NS)),
    *(case(gaussians=2, n=n) for n in (10, 4096)),
    *(case(gaussians=2, target=target) for target in TARGETS),
    *(case(dual=True, gaussians=gaussians) for gaussians in (1, 2)),
    case(strided=True),
    *(case(dtype=dtype) for dtype in ("bf16", "fp16", "fp64")),
    *(case(kernel, n) for kernel, n in product(("sample", "sample_backward"), (10, 20, 4096))),
    *(case(kernel, target="gfx942") for kernel in ("sample", "sample_backward")),
    *(case("full", n) for n in (4, 8, 16, 64)),
    *(case("full", 16, target=target) for target in ("sm_80", "sm_100", "gfx942")),
    *(case("full", 4, target="gfx942"), case("full", 16, dual=True), case("full", 16, dtype="fp64")),
    *(case("far", n, dual=True) for n in (16, 64)),
    case("far", 16, target="gfx942", dual=True),
]


def jsg(n, target, dtype, gaussians, dual, strided):
    """The kernel with gradients, as `kernels.evaluate` launches it on many rows that start on 16-byte boundaries."""
    tile, warps = kernels.tiling(n, False, BYTES[dtype], TARGETS[target].warp_size)
    stride = 2 * n if strided else n
    constants = dict(
        TILE=tile, STRIDES=kernels.Inputs(*[stride] * 4, 0, 0), FLOAT=float_type(dtype), DUAL=dual, REVERSE=True,
        STORED=False,
    )  # fmt: skip
    second = ["constexpr" if gaussians == 1 else f"*{dtype}"] * 2
    types = dict(
        inputs=kernels.Inputs(*[f"*{dtype}"] * 2, *second, "constexpr", "constexpr"),
        outputs=kernels.Outputs(working(dtype), *[f"*{dtype}"] * 2, second[0], "constexpr"),
        rows="i32", alpha="fp64", scale="fp64",
    )  # fmt: skip
    elements = tile.rows * n * 2 if n <= tile.block else tile.block  # whole tiles and the last tile have separate code
    return kernels.jsg_kernel, constants, types, warps, elements


def sample(kernel, n, target, dtype, dual):
    """A kernel of `sample_and_jsg` with a tensor for seed, on many rows that start on 16-byte boundaries."""
    tiles, warps = sampling_kernels.tiling(10**6, n, TARGETS[target].warp_size)
    constants = dict(
        ALIGNED=True, **tiles, S_MEAN=n, S_LOGVAR=n, S_ALPHA=0, S_BY_Z=n, S_BY_VALUE=1, ALPHA_GRAD=False,
        FLOAT=float_type(dtype), DUAL=dual, REVERSE=True, seed_number=0, alpha=None,
    )  # fmt: skip
    kernel = getattr(sampling_kernels, f"{kernel}_kernel")
    constants = {name: value for name, value in constants.items() if name in kernel.arg_names}
    types = dict(number="fp64", seed="*i64", seed_used="*i64", rows="i32", offset="i64") | dict.fromkeys(
        ("value", "by_value", "by_alpha"), working(dtype)
    )
    return kernel, constants, types, warps, 2 * tiles["T"]


def full(n, target, dtype, dual):
    """The kernel of full covariance with gradients, as `full_kernels.evaluate` launches it on many pairs."""
    kernel, constants, warps = full_kernels.tiling(10**6, n, BYTES[dtype], TARGETS[target].warp_size)
    constants = dict(
        constants, N=n, S_ALPHA=0, S_UPSTREAM=0, FLOAT=float_type(dtype), DUAL=dual, REVERSE=True, GRAD=True,
        STORED=False, AGAIN=False,
        alphas=None, upstream=None, d_alpha=None,
    )  # fmt: skip
    if dtype == "fp64":
        constants["hard"] = None
    types = dict(rows="i32", alpha="fp64", scale="fp64", value=working(dtype), hard="*i8")
    return kernel, constants, types, warps, 1


def far(n, target, dtype):
    """The kernel of full covariances far apart, as `full_kernels.launch` launches it on many pairs."""
    constants, warps = full_kernels.tiles(10**6, n, 8, TARGETS[target].warp_size)
    constants = dict(constants, N=n, S_ALPHA=0, S_UPSTREAM=0, REVERSE=True, alphas=None, upstream=None)
    return full_kernels.far_kernel, constants, dict(rows="i32", alpha="fp64", scale="fp64", hard="*i8"), warps, 1


def float_type(dtype):
    return tl.float64 if dtype == "fp64" else tl.float32


def working(dtype):
    return "*fp64" if dtype == "fp64" else "*fp32"


def report(options):
    kind, n, target, dtype, gaussians, dual, strided = options.values()
    if kind == "jsg":
        kernel, constants, types, warps, elements = jsg(n, target, dtype, gaussians, dual, strided)
    elif kind == "full":
        kernel, constants, types, warps, elements = full(n, target, dtype, dual)
    elif kind == "far":
        kernel, constants, types, warps, elements = far(n, target, dtype)
    else:
        kernel, constants, types, warps, elements = sample(kind, n, target, dtype, dual)
    names = kernel.arg_names
    types |= dict.fromkeys(constants, "constexpr")
    signature = {name: types.get(name, f"*{dtype}") for name in names}
    paths = dict(flattened(signature.values()))
    source = ASTSource(
        fn=kernel,
        signature=signature,
        constexprs={path: constants.get(names[path[0]]) for path, kind in paths.items() if kind == "constexpr"},
        attrs={path: [["tt.divisibility", 16]] for path, kind in paths.items() if kind.startswith("*")},
    )
    assembled = triton.compile(
        source, target=TARGETS[target], options={"num_warps": warps, "enable_fp_fusion": True}
    ).asm
    found = (nvidia if "cubin" in assembled else amd)(assembled)
    found["instructions"] *= TARGETS[target].warp_size * warps / elements if elements > 1 else 1
    return options | found


def flattened(kinds, path=()):
    """The path and the type of each argument, those inside tuples too."""
    for i, kind in enumerate(kinds):
        if isinstance(kind, tuple):
            yield from flattened(kind, (*path, i))
        else:
            yield (*path, i), kind


def nvidia(assembled):
    """Registers, bytes of stack and local memory (for spills), accesses by width in bits, instructions."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(assembled["cubin"])
        file.flush()
        usage = tool(triton.knobs.nvidia.cuobjdump.path, "-res-usage", file.name)
        sass = tool(triton.knobs.nvidia.nvdisasm.path, "-ndf", file.name)  # without an analysis of the control flow
    registers, stack, local = re.search(r"REG:(\d+) STACK:(\d+) .*?LOCAL:(\d+)", usage).groups()
    instructions = re.findall(r"^\s+/\*\w{4,}\*/\s+(?:@!?U?P\w+ +)?([A-Z][A-Z0-9_]*)", sass, re.MULTILINE)
    return dict(
        registers=int(registers),
        spilled=int(stack) + int(local) + len(re.findall(r"\b(?:LDL|STL)\b", sass)),
        loads=Counter(width or "32" for width in re.findall(r"\bLDG\.E(?:\.(\d+))?", sass)),
        stores=Counter(width or "32" for width in re.findall(r"\bSTG\.E(?:\.(\d+))?", sass)),
        instructions=sum(name != "NOP" for name in instructions),
    )


def amd(assembled):
    """The counts of `nvidia`, from the metadata and text of the assembly.

    Scalar registers are spilled into vector registers, not into memory, so these spills are not counted.
    """
    text = assembled["amdgcn"]
    number = {name: int(value) for name, value in re.findall(r"\.(\w+): +(\d+)", text)}
    widths = {"": "32", "x2": "64", "x3": "96", "x4": "128"}
    access = {
        kind: Counter(widths[width] for width in re.findall(rf"\b(?:global|buffer)_{kind}_dword(x\d)?\b", text))
        for kind in ("load", "store")
    }
    return dict(
        registers=number["vgpr_count"],
        spilled=number["vgpr_spill_count"] + number["private_segment_fixed_size"],
        loads=access["load"],
        stores=access["store"],
        instructions=len(re.findall(r"^\s+(?:[sv]|ds|global|buffer)_\w+", text, re.MULTILINE)),
    )


def tool(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main():
    with ProcessPoolExecutor(2) as pool:  # an error if the compiler ends a process
        json.dump(list(pool.map(report, CASES)), sys.stdout)


if __name__ == "__main__":
    main()
