"""Decodes picture files. Pillow is imported when the first one is decoded."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"}
ROUNDING = 1e-6  # floats may lie outside [0, 1] by this; float32 has a relative precision of 6e-8
BITS, PHOTOMETRIC, ORIENTATION, SAMPLE_FORMAT = 258, 262, 274, 339  # tags of TIFF; the third is also one of EXIF
TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}  # EXIF's orientation -> what shows the picture upright


logging.getLogger("PIL").addHandler(logging.NullHandler())  # it logs some of its exceptions as well


@contextlib.contextmanager
def opened(file: Path | io.BytesIO, name: str | Path) -> Iterator["Image"]:
    """A picture of one frame. Only its header is read until its pixels are used.

    Raises:
        ValueError: the file cannot be decoded, or holds several frames.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # a large picture; a huge one is refused
            with Image.open(file) as image:
                frames = getattr(image, "n_frames", 1)
                if frames > 1 and image.format != "MPO":  # a camera's MPO has a preview after its picture
                    raise Unfit(f"holds {frames} frames; wanted one picture per file")
                yield image
    except Unfit as error:
        raise ValueError(f"{name} {error}") from None
    except UnidentifiedImageError:
        raise ValueError(f"{name} is not a picture") from None
    except Image.DecompressionBombError as error:
        raise ValueError(f"{name} is too large ({error})") from None
    except Exception as error:  # which one Pillow raises depends on the damage
        raise ValueError(f"{name} cannot be decoded ({str(error) or type(error).__name__})") from None


class Unfit(Exception):
    """An error: a picture can be decoded but not used; the message says why."""


def size_of(path: Path) -> tuple[int, int]:
    with opened(path, path) as image:
        return image.size


def decode_grey(content: bytes, name: str | Path) -> "Image":
    """The picture in 256 grey levels, turned as its EXIF data say, with a white background where it is transparent.

    Raises:
        ValueError: the file cannot be decoded, or the range of its levels is unknown.
    """
    from PIL import Image

    with opened(io.BytesIO(content), name) as image:
        image.load()
        grey = Image.fromarray(eight_bits(image)) if image.mode[0] in "IF" else grey_on_white(image)
        turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
        return grey if turn is None else grey.transpose(Image.Transpose[turn])


def grey_on_white(image: "Image") -> "Image":
    """A picture of at most eight bits per channel, in grey levels."""
    from PIL import Image

    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return (image.convert("RGB") if image.mode == "LAB" else image).convert("L")  # Pillow has no direct way from LAB


def eight_bits(image: "Image") -> np.ndarray:
    """The grey levels of a picture that has more than eight bits, as bytes. Pillow would clip them at 255.

    The darkest and the brightest level follow from the type: 0 and 65535 for 16 bits, or what a TIFF file says, and 0
    and 1 for floats. Other types have no such levels.
    """
    tags = getattr(image, "tag_v2", {})
    bits, signed = tags.get(BITS, (16,))[0], tags.get(SAMPLE_FORMAT, (1,))[0] == 2
    levels = np.asarray(image)
    if image.mode == "F":
        if not (levels.min() >= -ROUNDING and levels.max() <= 1 + ROUNDING):  # also refuses NaN
            raise Unfit(f"has floats from {levels.min():g} to {levels.max():g}; wanted [0, 1], or 8 or 16 bits")
        levels = levels.clip(0, 1).astype(np.float64)
    elif bits > 16 or signed:
        raise Unfit(f"has {bits} {'signed' if signed else 'unsigned'} bits per pixel; wanted 8 or 16 unsigned bits")
    else:
        levels = levels / (2.0**bits - 1)
    if tags.get(PHOTOMETRIC) == 0:  # white is zero, which Pillow takes into account for eight bits only
        levels = 1 - levels
    if (transparent := image.info.get("transparency")) is not None:
        levels = np.where(np.asarray(image) == transparent, 1.0, levels)
    return np.rint(255 * levels).astype(np.uint8)


def crop_and_resize(image: "Image", side: int, size: int) -> "Image":
    """The middle ``side x side`` pixels, resized to ``size x size`` with Lanczos' filter."""
    from PIL.Image import Resampling

    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side)).resize((size, size), Resampling.LANCZOS)
