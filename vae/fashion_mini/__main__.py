"""Makes the embedded data set out of all of Fashion-MNIST: the first 5,000 + 1,000 images and their labels.

    python -m vae.fashion_mini [FOLDER WITH FASHION-MNIST]

The source is verified by its published hashes, the result by the hashes that ``vae.data.mnist`` pins.
"""

import gzip
import hashlib
import sys
from pathlib import Path

from vae.data.idx import idx_content, read_idx
from vae.data.mnist import EMBEDDED, FASHION, FASHION_MINI
from vae.errors import UserError


def main() -> int:
    try:
        folder = FASHION.place(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
        for whole, part in zip(FASHION.files, FASHION_MINI.files, strict=True):
            content = idx_content(read_idx(folder, whole)[: part.shape[0]])
            sha256 = hashlib.sha256(content).hexdigest()
            if sha256 != part.sha256:
                raise ValueError(f"{part.name} came out with sha256 {sha256}, wanted {part.sha256}")
            path = EMBEDDED / f"{part.name}.gz"
            path.write_bytes(gzip.compress(content, 9, mtime=0))  # without a time, the same bytes each time
            print(f"{sha256}  {path.name}  {path.stat().st_size:,} bytes")
    except (UserError, ValueError) as error:
        print(f"vae.fashion_mini: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
