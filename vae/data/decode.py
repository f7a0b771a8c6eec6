"""Decodes picture files. Pillow is imported when the first one is decoded."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"}


@contextlib.contextmanager
def opened(file: Path | io.BytesIO, name: str | Path) -> Iterator["Image"]:
    """A picture, of which only the header is read until its pixels are used.

    Raises:
        ValueError: the file cannot be decoded.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            yield image
    except UnidentifiedImageError:
        raise ValueError(f"{name} is not a picture") from None
    except Image.DecompressionBombError as error:
        raise ValueError(f"{name} is too large ({error})") from None
    except (OSError, SyntaxError, ValueError) as error:  # which one Pillow raises depends on the damage
        raise ValueError(f"{name} cannot be decoded ({error})") from None


def size_of(path: Path) -> tuple[int, int]:
    with opened(path, path) as image:
        return image.size


def decode_grey(content: bytes, name: str | Path) -> "Image":
    """The picture in grey levels, with a white background where it is transparent."""
    from PIL import Image

    with opened(io.BytesIO(content), name) as image:
        if image.has_transparency_data:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        return image.convert("L")


def crop_and_resize(image: "Image", side: int, size: int) -> "Image":
    """The middle ``side x side`` pixels, resized to ``size x size`` with Lanczos' filter."""
    from PIL.Image import Resampling

    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side)).resize((size, size), Resampling.LANCZOS)
