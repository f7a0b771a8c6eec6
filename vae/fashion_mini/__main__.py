"""Makes the embedded data set from Fashion-MNIST: its first 5,000 + 1,000 images and their labels.

    python -m vae.fashion_mini [FOLDER WITH FASHION-MNIST]

The source is verified by its published hashes, the result by the hashes that ``vae.data.mnist`` pins.
"""

import gzip
import hashlib
import sys
from pathlib import Path

from vae import command_line
from vae.data.idx import idx_content, read_idx
from vae.data.mnist import EMBEDDED, FASHION, FASHION_MINI
from vae.errors import UserError
from vae.files import write


def write_files(arguments: list[str]) -> None:
    folder = FASHION.place(Path(arguments[0]) if arguments else None)
    for whole, part in zip(FASHION.files, FASHION_MINI.files, strict=True):
        try:
            content = idx_content(read_idx(folder, whole)[: part.shape[0]])
        except ValueError as error:
            raise UserError(str(error)) from None
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 != part.sha256:
            raise UserError(f"{part.name} has sha256 {sha256}, wanted {part.sha256}")
        path = EMBEDDED / f"{part.name}.gz"
        write(path, gzip.compress(content, 9, mtime=0))  # without a time, the same bytes each time
        print(f"{sha256}  {path.name}  {path.stat().st_size:,} bytes")


def main(arguments: list[str]) -> int:
    return command_line.run_program("vae.fashion_mini", write_files, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
