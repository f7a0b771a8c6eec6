"""What the Triton kernel does with memory, in the interpreter: where it reads, where it writes, and nowhere else."""

import itertools
import math

import numpy as np
import pytest
import torch

from jsgmath.torch import eager, jsg_diagonal, jsg_standard_normal, kernels

GUARD = 4096  # numbers on either side of every output; a tile overruns by less
POISON = float("nan")

NS = (1, 3, 7, 10, 20, 50, 64, 257, 1000, 1025)
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


class Memory:
    """Stands for ``torch.empty``: outputs full of NaN, between guards that must stay as they are."""

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
    """Tiles as on a GPU: many programs, of which the last one is cut off.  The interpreter's own hold every row."""
    tiling = kernels.tiling

    def compiled(*arguments):
        with monkeypatch.context() as patch:
            patch.setattr(kernels, "INTERPRETED", False)
            return tiling(*arguments)

    monkeypatch.setattr(kernels, "tiling", compiled)


def run(tensors, alpha, *, dual=False, reverse=True, grad=True, implementation=kernels.rows):
    """The five results of the kernel, or of the eager rows, on two or four tensors."""
    arguments = [*tensors, None, None] if len(tensors) == 2 else tensors
    return implementation(*arguments, alpha, dual=dual, reverse=reverse, grad=grad)


def guarded(values):
    """A copy of ``values`` in memory that is NaN on either side: a read outside shows in the result."""
    block = torch.full((2 * GUARD + values.numel(),), POISON, dtype=values.dtype)
    inside = block[GUARD : len(block) - GUARD].view(values.shape)
    return inside.copy_(values)


def assert_equal_to_eager(tensors, alpha, **options):
    """Same formula, same type: only the order of sums and the exponential differ, by a few eps of terms of order 1."""
    results = run(tensors, alpha, **options)
    wanted = run([t.contiguous() for t in tensors], alpha, implementation=eager.rows, **options)
    for got, want in zip(results, wanted, strict=True):
        if want is None or got.numel() == 0:
            continue
        assert got.isfinite().all()  # every element was written
        size = want.abs().max().double().clamp(min=1)  # of a derivative by alpha only the terms are of order 1
        assert ((got.double() - want.double()).abs() <= 16 * torch.finfo(got.dtype).eps * size).all()


def normal(*shape, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(*shape, dtype=torch.float64, generator=generator).to(dtype)


@pytest.mark.parametrize("n", NS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("gaussians", [1, 2])
def test_every_output_is_written_and_nothing_beside_it(n, dtype, gaussians, memory, small_tiles):
    """Rows that fill whole tiles, one more, and fewer than one; inputs and outputs stand between guards."""
    tile = kernels.tiling(1, n, dtype.itemsize, True)[0]
    rows_per_program = tile["GROUP"] * tile["TILE_ROWS"]
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
def test_without_gradients_none_is_allocated(n, memory):
    value, *gradients = run([normal(5, n), normal(5, n, seed=1)], torch.tensor([0.3]), grad=False)
    assert value.isfinite().all()
    assert [g.numel() for g in gradients] == [0, 0, 0, 0]


def test_the_interpreter_s_own_tiles_are_cut_off_as_well(memory):
    for rows in (1, 64, 65, 1000):
        assert_equal_to_eager([guarded(normal(rows, 20, seed=k)) for k in range(4)], torch.tensor([0.3]))


def strided(kind, rows, n):
    """Mean and log-variance of ``rows`` rows that do not lie one after the other."""
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
def test_inputs_of_any_stride_are_read_where_they_are(kind, n, memory, small_tiles):
    """Against the same numbers laid out plainly; only the order of sums may differ."""
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
    """``chunk(2, -1)``, as every VAE has it, reaches the kernel as it is."""
    seen = []
    monkeypatch.setattr(kernels, "rows", lambda *a, **k: seen.extend(a[:2]) or eager.rows(*a, **k))
    mean, logvar = normal(6, 20).chunk(2, -1)
    jsg_standard_normal(mean, logvar, 0.3, backend="triton")
    assert [t.data_ptr() for t in seen] == [mean.data_ptr(), logvar.data_ptr()]


def test_alpha_is_read_with_its_stride(memory):
    alpha = torch.rand(37, 3, dtype=torch.float64)[:, 1]
    tensors = [normal(37, 10, seed=k) for k in range(4)]
    for got, want in zip(run(tensors, alpha), run(tensors, alpha.contiguous()), strict=True):
        assert torch.equal(got, want)


def test_offsets_beyond_two_to_the_31_do_not_wrap_around(tmp_path, memory):
    """Three rows, 2^30 numbers apart, in a sparse file that takes no room on disk or in memory."""
    stride, n, rows = 2**30, 10, 3
    size = (rows - 1) * stride + 2 * n
    storage = torch.from_numpy(np.memmap(tmp_path / "sparse", dtype=np.float16, mode="w+", shape=(size,)))
    wide = storage.as_strided((rows, 2 * n), (stride, 1))
    wide.copy_(normal(rows, 2 * n, dtype=torch.float16))
    assert_equal_to_eager(wide.chunk(2, -1), torch.tensor([0.3]))


@pytest.mark.parametrize("itemsize", [2, 4, 8])
def test_tiles_cover_whole_groups_of_whole_rows(itemsize, small_tiles):
    """What the kernel takes for granted: powers of two, at most one thread's share per thread, one block per group."""
    for n, contiguous in itertools.product(range(1, 1200), (True, False)):
        tile, warps = kernels.tiling(10**6, n, itemsize, contiguous)
        group, rows, block = tile["GROUP"], tile["TILE_ROWS"], tile["BLOCK"]
        assert all(x & (x - 1) == 0 < x for x in (group, rows, block, warps))
        per_thread = 2 if itemsize == 8 else 4
        assert rows * block <= 32 * warps * per_thread
        assert group == 1 or (contiguous and block >= group * n)
        if contiguous and 4 * n <= 256 * per_thread:
            assert group * n % 4 == 0  # so that groups start where 128-bit loads of float32 do
