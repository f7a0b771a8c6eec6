"""What ``import jsgmath.torch`` loads."""

from tests.test_gaussian import loaded_by


def test_import_jsgmath_torch_leaves_the_kernels_and_triton_unloaded():
    """They come with the first launch, so that the eager functions need no triton."""
    assert not loaded_by("import jsgmath.torch") & {"triton", "jsgmath.torch.triton.diagonal"}
