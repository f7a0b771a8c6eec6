"""``python -m jsgmath.native.wheels`` makes the source distribution and, from it, a wheel for every platform, in dist/.

The compiler is `ziglang`, a wheel of the Python index, which compiles for all platforms on any machine and links its
own C++ library statically. So a wheel needs only the C library of its platform and works with all versions of Python.
Each is built from the unpacked source distribution, so that everybody can build it again. A wheel lists what is linked
(`linked.py`).
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Platform(NamedTuple):
    """The compiler's name of a platform, and the file name of the library there."""

    target: str
    library: str

    @property
    def machine(self) -> str:
        return self.target.partition("-")[0]

    @property
    def command(self) -> list[str]:
        named = [f"-Wl,-install_name,@rpath/{self.library}"] if self.library.endswith(".dylib") else []  # else its path
        return [sys.executable, "-m", "ziglang", "c++", "-target", self.target, "-g0", "-s", *named]


# Tag of the wheel -> platform. 2.17 is the version of glibc; macOS 11 is the first that runs on Apple silicon.
PLATFORMS = {
    "manylinux_2_17_x86_64": Platform("x86_64-linux-gnu.2.17", "core.so"),
    "manylinux_2_17_aarch64": Platform("aarch64-linux-gnu.2.17", "core.so"),
    "musllinux_1_2_x86_64": Platform("x86_64-linux-musl", "core.so"),
    "musllinux_1_2_aarch64": Platform("aarch64-linux-musl", "core.so"),
    "macosx_11_0_x86_64": Platform("x86_64-macos.11.0", "core.dylib"),
    "macosx_11_0_arm64": Platform("aarch64-macos.11.0", "core.dylib"),
    "win_amd64": Platform("x86_64-windows-gnu", "core.dll"),
}
CHOICE = "JSGMATH_PLATFORM"  # the environment variable that tells `hatch_build.py` for which platform it builds


def distributions(folder: Path, platforms: tuple[str, ...] = tuple(PLATFORMS)) -> list[Path]:
    """Makes the source distribution and the wheels of these platforms in a folder; returns the paths in that order.

    Raises:
        subprocess.CalledProcessError: a build failed; ``stdout`` and ``stderr`` have its messages.
    """
    source = _built("--sdist", ROOT, folder, {})
    with tempfile.TemporaryDirectory() as unpacked:
        with tarfile.open(source) as archive:
            archive.extractall(unpacked, filter="data")
        (root,) = Path(unpacked).iterdir()
        return [source, *(_built("--wheel", root, folder, {CHOICE: platform}) for platform in platforms)]


def _built(kind: str, root: Path, folder: Path, environment: dict[str, str]) -> Path:
    with tempfile.TemporaryDirectory() as made:
        subprocess.run(
            [sys.executable, "-m", "build", kind, "--no-isolation", "--outdir", made, str(root)],
            env=os.environ | environment,
            check=True,
            capture_output=True,
            text=True,
        )
        (path,) = Path(made).iterdir()
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.move(path, folder / path.name))


def main() -> int:
    try:
        for path in distributions(ROOT / "dist"):
            print(path)
    except subprocess.CalledProcessError as error:
        print(f"a build failed:\n{error.stdout}{error.stderr}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
