"""In the interpreter, the Triton kernel reads its inputs, writes its outputs, and accesses no other memory."""

import itertools
import math

import numpy as np
import pytest
import torch
from triton.runtime.interpreter import GridExecutor

from jsgmath.torch import jsg_diagonal, jsg_full, jsg_standard_normal, sample_and_jsg
from jsgmath.torch.eager import diagonal as eager
from jsgmath.torch.triton import diagonal as kernels

GUARD = 4096  # numbers on either side of every output; a tile overruns by less
POISON = float("nan")

NS = (1, 3, 7, 10, 20, 50, 64, 257, 1000, 1025)
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


class Memory:
    """A replacement for ``torch.empty`` that fills outputs with NaN, between guards that must not change."""

    def __init__(self):
        self.blocks = []

    def empty(self, size, *, dtype, device):
        shape = (size,) if isinstance(size, int) else tuple(size)
        block = torch.full((2 * GUARD + math.prod(shape),), 7.0, dtype=dtype, device=device)
        inside = block[GUARD : len(block) - GUARD].fill_(POISON)
        self.blocks.append(block)
        return inside.view(shape)

    def assert_guards_untouched(self):
        assert self.blocks
        for block in self.blocks:
            assert (block[:GUARD] == 7).all()
            assert (block[len(block) - GUARD :] == 7).all()


@pytest.fixture
def memory(monkeypatch):
    memory = Memory()
    monkeypatch.setattr(torch, "empty", memory.empty)
    yield memory
    memory.assert_guards_untouched()


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles as on a GPU: many programs, the last one not full.  The tiles of the interpreter would hold all rows."""
    tiling = kernels.tiling
    monkeypatch.setattr(kernels, "tiling", lambda n, few, itemsize, lanes: tiling(n, few, itemsize, kernels.LANES))


def run(tensors, alpha, *, dual=False, reverse=True, implementation=kernels.evaluate, **asked):
    """The five results of the kernel, or of torch operations, for two or four tensors."""
    arguments = [*tensors, None, None] if len(tensors) == 2 else tensors
    return implementation(*arguments, alpha, dual=dual, reverse=reverse, **{"by_alpha": True, **asked})


def guarded(values):
    """A copy of ``values`` with NaN on both sides, so that a read outside shows in the result."""
    block = torch.full((2 * GUARD + values.numel(),), POISON, dtype=values.dtype)
    inside = block[GUARD : len(block) - GUARD].view(values.shape)
    return inside.copy_(values)


def assert_equal_to_eager(tensors, alpha, **options):
    """Only the order of sums and the exponential differ, by a few eps of terms of order 1."""
    results = run(tensors, alpha, **options)
    wanted = run([t.contiguous() for t in tensors], alpha, implementation=eager.evaluate, **options)
    for got, want in zip(results, wanted, strict=True):
        if want is None:
            assert got is None
            continue
        assert got.isfinite().all()  # every element was written
        size = want.abs().max().double().clamp(min=1)  # of the terms, in a derivative by alpha
        assert ((got.double() - want.double()).abs() <= 16 * torch.finfo(got.dtype).eps * size).all()


def normal(*shape, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(*shape, dtype=torch.float64, generator=generator).to(dtype)


@pytest.mark.parametrize("n", NS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("gaussians", [1, 2])
def test_every_output_is_written_and_no_memory_around_it(n, dtype, gaussians, memory, small_tiles):
    """Rows fill whole tiles, one row more, or less than one tile; inputs and outputs lie between guards."""
    rows_per_program = kernels.tiling(n, True, dtype.itemsize, kernels.LANES)[0].rows
    for rows in {1, min(rows_per_program, 64), min(2 * rows_per_program + 1, 131)}:
        tensors = [guarded(normal(rows, n, dtype=dtype, seed=k)) for k in range(2 * gaussians)]
        alpha = guarded(torch.rand(rows, dtype=torch.float64))
        assert_equal_to_eager(tensors, alpha, dual=n % 2 == 0, reverse=n % 3 == 0)


@pytest.mark.parametrize("dual", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("gaussians", [1, 2])
@pytest.mark.parametrize("n", [10, 20, 1025])
def test_every_variant_writes_every_output(n, gaussians, reverse, dual, memory, small_tiles):
    rows = 67 if n < 100 else 3
    tensors = [guarded(normal(rows, n, seed=k)) for k in range(2 * gaussians)]
    for alpha in (torch.tensor([0.3], dtype=torch.float64), torch.rand(rows)):
        assert_equal_to_eager(tensors, alpha, dual=dual, reverse=reverse)


@pytest.mark.parametrize("n", [1, 10, 1025])
def test_only_requested_outputs_are_allocated(n, memory):
    tensors = [normal(5, n), normal(5, n, seed=1)]
    for asked in itertools.product([False, True], repeat=3):
        memory.blocks.clear()
        options = dict(zip(("value", "grad", "by_alpha"), asked, strict=True))
        value, by_mean, by_logvar, by_logvar2, by_alpha = run(tensors, torch.tensor([0.3]), **options)
        assert tuple(x is not None for x in (value, by_mean, by_alpha)) == asked
        assert (by_logvar is None, by_logvar2) == (by_mean is None, None)
        assert len(memory.blocks) == asked[0] + 2 * asked[1] + asked[2]


def test_the_tiles_of_the_interpreter_may_be_partly_empty_too(memory):
    for rows in (1, 64, 65, 1000):
        assert_equal_to_eager([guarded(normal(rows, 20, seed=k)) for k in range(4)], torch.tensor([0.3]))


def strided(kind, rows, n):
    """Mean and log-variance of ``rows`` rows that are not contiguous."""
    if kind == "chunks of one output":
        return normal(rows, 2 * n).chunk(2, -1)
    if kind == "every third row":
        return normal(3 * rows, n)[::3], normal(3 * rows, n, seed=1)[1::3]
    if kind == "columns of wider rows":
        return normal(rows, n + 5)[:, 3 : 3 + n], normal(rows, n + 1)[:, 1:]
    if kind == "transposed":
        return normal(n, rows).T, normal(n, rows, seed=1).T
    if kind == "every other column":
        return normal(rows, 2 * n)[:, ::2], normal(rows, 3 * n)[:, 1::3]
    if kind == "one row for all":
        return normal(1, n).expand(rows, n), normal(rows, n)
    return normal(rows, 1).expand(rows, n), normal(1, 1).expand(rows, n)  # one number for a row, for all rows


KINDS = [
    "chunks of one output",
    "every third row",
    "columns of wider rows",
    "transposed",
    "every other column",
    "one row for all",
    "one number for all columns",
]


@pytest.mark.parametrize("n", [1, 10, 50])
@pytest.mark.parametrize("kind", KINDS)
def test_inputs_with_any_strides_give_the_results_of_contiguous_ones(kind, n, memory, small_tiles):
    """Only the order of sums may differ."""
    pair = strided(kind, 37, n)
    other = strided(kind, 37, n)[::-1]
    for tensors in (pair, (*pair, *other)):
        function = jsg_standard_normal if len(tensors) == 2 else jsg_diagonal
        results = []
        for layout in (tensors, [t.contiguous() for t in tensors]):
            leaves = [t.detach().requires_grad_() for t in layout]
            value = function(*leaves, 0.3, backend="triton")
            results.append([value, *torch.autograd.grad(value.sum(), leaves)])
        for got, want in zip(*results, strict=True):
            torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)


def test_row_strides_are_read_without_a_copy(monkeypatch):
    """The halves of ``chunk(2, -1)``, which VAEs use, reach the kernel without a copy."""
    seen = []
    monkeypatch.setattr(kernels, "evaluate", lambda *a, **k: seen.extend(a[:2]) or eager.evaluate(*a, **k))
    mean, logvar = normal(6, 20).chunk(2, -1)
    jsg_standard_normal(mean, logvar, 0.3, backend="triton")
    assert [t.data_ptr() for t in seen] == [mean.data_ptr(), logvar.data_ptr()]


def test_alpha_is_read_with_its_stride(memory):
    alpha = torch.rand(37, 3, dtype=torch.float64)[:, 1]
    tensors = [normal(37, 10, seed=k) for k in range(4)]
    for got, want in zip(run(tensors, alpha), run(tensors, alpha.contiguous()), strict=True):
        assert torch.equal(got, want)


def test_offsets_beyond_two_to_the_31_do_not_wrap_around(tmp_path, memory):
    """Three rows lie 2^30 numbers apart in a sparse file, which takes no space on disk or in memory."""
    stride, n, rows = 2**30, 10, 3
    size = (rows - 1) * stride + 2 * n
    storage = torch.from_numpy(np.memmap(tmp_path / "sparse", dtype=np.float16, mode="w+", shape=(size,)))
    wide = storage.as_strided((rows, 2 * n), (stride, 1))
    wide.copy_(normal(rows, 2 * n, dtype=torch.float16))
    assert_equal_to_eager(wide.chunk(2, -1), torch.tensor([0.3]))


@pytest.mark.parametrize("lanes", [32, 64])
@pytest.mark.parametrize("itemsize", [2, 4, 8])
def test_tiles_hold_whole_rows_and_start_on_16_bytes(itemsize, lanes):
    """The kernel assumes powers of two, 16 bytes of each input per thread, and tiles of whole rows or of one row."""
    width = 16 // itemsize
    for n, few in itertools.product(range(1, 2000), (True, False)):
        tile, warps = kernels.tiling(n, few, itemsize, lanes)
        _, rows, block, sums, parts, group = tile
        assert all(x & (x - 1) == 0 < x for x in (block, sums, group, parts, warps))
        assert block == lanes * warps * width
        assert sums >= rows
        assert n % group == 0
        assert parts * group >= n
        if rows > 1:
            assert rows * n <= block
        if n in (10, 20, 50, 64):
            assert rows * n % width == 0
            assert rows * n >= 0.9 * block
        if n == 300:  # one row would leave two fifths of the smallest tile idle
            assert rows * n >= 0.85 * block
        if n > 16 * lanes * width:
            assert (rows, block) == (1, (16 if few else 4) * lanes * width)


def test_upstream_multiplies_only_the_gradients(memory, small_tiles):
    """Each row has a factor, which replaces `scale`; here powers of two, so that nothing is rounded."""
    tensors, alpha = [normal(131, 20, seed=k) for k in range(4)], torch.rand(131)
    upstream = 2.0 ** torch.arange(-60, 71)
    value, *gradients = run(tensors, alpha)
    for options, factor in ((dict(upstream=upstream), upstream), (dict(scale=0.25), torch.tensor(0.25).expand(131))):
        got_value, *got = run(tensors, alpha, **options)
        assert torch.equal(got_value, value)
        for x, plain in zip(got, gradients, strict=True):
            assert torch.equal(x, plain * factor.reshape(-1, *[1] * (plain.ndim - 1)))


def test_only_programs_with_another_incoming_gradient_write_again(memory, small_tiles):
    """131 rows, 25 in each program, have marked gradients; one row has another factor than ``scale``."""
    tensors, alpha = [normal(131, 20, seed=k) for k in range(2)], torch.tensor([0.3])
    wanted = run(tensors, alpha, scale=0.5)[1:]
    present = [x if x is None else torch.full_like(x, 9.0) for x in wanted]
    upstream = torch.full((131,), 0.5)
    upstream[60] = 2.0
    options = dict(dual=False, reverse=True, scale=0.5, upstream=upstream)
    rescaled = kernels.rescaled(present, *tensors, None, None, alpha, **options)
    for got, want in zip(rescaled, wanted, strict=True):
        if want is None:
            continue
        assert (got[:50] == 9).all()
        assert (got[75:] == 9).all()
        assert torch.equal(got[50:60], want[50:60])
        assert torch.equal(got[60], 4 * want[60])


def test_every_launch_asks_for_fused_operations(monkeypatch):
    """Triton 3.10 changes the default, and with it the speed of all kernels on a GPU."""
    options, launch = [], GridExecutor.__call__

    def recorded(self, *arguments, **given):
        options.append((self.fn.__name__, given["enable_fp_fusion"]))
        return launch(self, *arguments, **given)

    monkeypatch.setattr(GridExecutor, "__call__", recorded)
    x = torch.zeros(2, 9, requires_grad=True)
    full = torch.diag_embed(x + 1)
    jsg_standard_normal(x, x, 0.3, backend="triton")
    jsg_full(x, full, x, full, 0.3, dual=True, backend="triton").sum().backward()
    jsg_full(x[:, :2], full[:, :2, :2], x[:, :2], full[:, :2, :2], 0.3, backend="triton")
    sum(part.sum() for part in sample_and_jsg(x, x, 0.3, 1, backend="triton")).backward()
    kernels = "jsg_kernel", "tile_kernel", "far_kernel", "lane_kernel", "sample_kernel", "sample_backward_kernel"
    assert set(options) == {(name, True) for name in kernels}
