import subprocess

import pytest

from jsgmath.native import build


@pytest.fixture(scope="session")
def core(tmp_path_factory):
    """The library compiled from these sources, so that the tests need no installed one."""
    if build.compiler() is None:
        pytest.skip("no C++ compiler: install one, or name it in the environment variable CXX")
    return build.build(tmp_path_factory.mktemp("core") / build.LIBRARY)


@pytest.fixture(scope="session")
def for_aarch64(tmp_path_factory):
    """A program that evaluates a batch, compiled for AArch64, as a command that runs it in an emulator."""
    import shutil

    compiler, emulator = "aarch64-linux-gnu-g++", shutil.which("qemu-aarch64")
    if not (shutil.which(compiler) and emulator):
        pytest.skip("no cross compiler or emulator for AArch64: apt-get install g++-aarch64-linux-gnu qemu-user")
    folder = tmp_path_factory.mktemp("aarch64")
    library = build.build(folder / "core.so", [compiler], "aarch64")
    program = folder / "evaluate"
    source = build.HERE.parents[1] / "tests" / "native" / "evaluate.cpp"
    command = [compiler, "-std=c++17", f"-I{build.HERE}", str(source), str(library), "-o", str(program)]
    subprocess.run(command, check=True)
    return [emulator, "-L", "/usr/aarch64-linux-gnu", "-E", f"LD_LIBRARY_PATH={folder}", str(program)]
