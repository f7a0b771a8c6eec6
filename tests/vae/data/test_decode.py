"""Pictures that Pillow does not convert to 256 grey levels by itself: each is converted rightly or refused."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from tests.vae import forked
from vae.data.decode import decode_grey

RAMP = np.arange(1024).reshape(32, 32)
GREY = np.rint(RAMP * 255 / 1023).astype(np.uint8)


def content(image, kind, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(bits: int, colour: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file of 32 x 32 pixels, made by hand: Pillow writes few of the types that it reads."""
    header = struct.pack(">IIBBBBB", 32, 32, bits, colour, 0, 0, 0)
    width = len(rows) // 32
    data = zlib.compress(b"".join(b"\0" + rows[row * width : (row + 1) * width] for row in range(32)))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts
    )


def decoded(file: bytes) -> np.ndarray:
    image = decode_grey(file, "picture")
    assert image.mode == "L"
    return np.asarray(image)


SIXTEEN = np.rint(RAMP * 65535 / 1023).astype(np.uint16)


def tiff(array, **tags) -> bytes:
    directory = ImageFileDirectory_v2()
    for tag, value in tags.items():
        directory[int(tag.removeprefix("t"))] = value
    return content(Image.fromarray(array), "TIFF", tiffinfo=directory)


@pytest.mark.parametrize(
    "file",
    [
        png(16, 0, SIXTEEN.astype(">u2").tobytes()),
        png(16, 2, SIXTEEN.astype(">u2").repeat(3, axis=1).tobytes()),
        tiff(SIXTEEN),
        b"P5 32 32 65535\n" + SIXTEEN.astype(">u2").tobytes(),
        b"P5 32 32 1023\n" + RAMP.astype(">u2").tobytes(),
        tiff((RAMP / 1023).astype(np.float32)),
        tiff((RAMP / 1023 * (1 + 1e-7)).astype(np.float32)),
        tiff(65535 - SIXTEEN, t262=0),
    ],
    ids=[
        "png",
        "png in colour",
        "tiff",
        "pgm",
        "pgm of 10 bits",
        "floats",
        "floats beyond 1 by rounding",
        "white is 0",
    ],
)
def test_levels_of_more_than_eight_bits_are_scaled_by_their_range(file):
    # Pillow drops the lower byte of 16-bit colour, by at most one level.
    assert abs(decoded(file).astype(int) - GREY).max() <= (1 if file[24:26] == b"\x10\2" else 0)


def test_a_tiff_file_of_12_bits_is_scaled_by_4095():
    levels = np.rint(RAMP * 4095 / 1023).astype(np.uint16)
    pairs = levels.reshape(-1, 2)  # two levels in three bytes, the most significant bits first
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], 1)
    data = packed.astype(np.uint8).tobytes()
    tags = [(256, 32), (257, 32), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 32), (279, len(data))]
    entries = b"".join(struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, value) for tag, value in tags)
    file = b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4)
    np.testing.assert_array_equal(decoded(file), GREY)


def test_a_transparent_level_of_16_bits_is_white():
    file = png(16, 0, SIXTEEN.astype(">u2").tobytes(), (b"tRNS", struct.pack(">H", 0)))
    expected = GREY.copy()
    expected[0, 0] = 255
    np.testing.assert_array_equal(decoded(file), expected)


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        (tiff((RAMP - 500).astype(np.int32)), "picture has 32 signed bits per pixel; wanted 8 or 16 unsigned bits"),
        (tiff(RAMP.astype(np.float32)), r"picture has floats from 0 to 1023; wanted \[0, 1\], or 8 or 16 bits"),
        (tiff(np.full((32, 32), np.nan, np.float32)), "picture has floats from nan to nan"),
    ],
)
def test_levels_of_unknown_range_are_refused(file, complaint):
    with pytest.raises(ValueError, match=complaint):
        decode_grey(file, "picture")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("kind", "dtype"), [("PNG", np.uint8), ("PNG", np.uint16), ("TIFF", np.uint8)])
def test_pictures_are_turned_as_their_exif_data_say(orientation, kind, dtype):
    array = GREY[:20] if dtype == np.uint8 else GREY[:20].astype(np.uint16) * 257
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain = Image.fromarray(GREY[:20])
    plain.getexif()[0x0112] = orientation
    np.testing.assert_array_equal(
        decoded(content(Image.fromarray(array), kind, exif=exif)), np.asarray(ImageOps.exif_transpose(plain))
    )


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animated_pictures_and_several_pages_are_refused(kind):
    images = [Image.fromarray(np.full((32, 32), level, np.uint8)) for level in (0, 99, 200)]
    with pytest.raises(ValueError, match="picture holds 3 frames; wanted one picture per file"):
        decode_grey(content(images[0], kind, save_all=True, append_images=images[1:]), "picture")


def test_a_preview_in_the_file_of_a_camera_is_ignored():
    images = [Image.fromarray(np.full((64, 64), level, np.uint8)) for level in (99, 200)]
    assert abs(decoded(content(images[0], "MPO", save_all=True, append_images=images[1:])) - 99.0).max() <= 1


def test_palettes_two_levels_and_other_colours_become_grey_on_white():
    square = Image.fromarray(GREY)
    palette = square.convert("RGB").quantize(256)
    assert abs(decoded(content(palette, "PNG")).astype(int) - GREY).max() <= 4  # 256 colours from 256 levels, clustered
    palette = Image.new("P", (32, 32), 1)
    palette.putpalette([0, 0, 0, 90, 90, 90])
    palette.putpixel((0, 0), 0)
    assert decoded(content(palette, "PNG", transparency=1))[:1, :2].tolist() == [[0, 255]]
    assert decoded(content(palette, "GIF", transparency=1))[:1, :2].tolist() == [[0, 255]]
    assert decoded(content(palette, "PNG", transparency=bytes([255, 128]))).max() == 172  # half of 90, half of white
    assert set(np.unique(decoded(content(square.convert("1"), "PNG")))) == {0, 255}
    assert (decoded(content(Image.new("CMYK", (32, 32), (0, 0, 0, 255)), "TIFF")) == 0).all()
    assert (decoded(content(Image.new("CMYK", (32, 32)), "TIFF")) == 255).all()
    assert abs(decoded(content(Image.new("CMYK", (32, 32), (0, 0, 0, 155)), "JPEG")) - 100.0).max() <= 1
    assert decoded(content(Image.new("LAB", (32, 32), (255, 128, 128)), "TIFF")).min() >= 250
    assert (decoded(content(Image.new("LA", (32, 32), (0, 0)), "PNG")) == 255).all()


def test_any_damage_is_a_line():
    whole = tiff(SIXTEEN, t274=6)
    generator = np.random.default_rng(5)
    said = []
    for file in (whole, content(Image.fromarray(GREY), "GIF"), content(Image.fromarray(GREY), "WEBP")):
        for _ in range(150):
            damaged = bytearray(file)
            for place in generator.integers(0, len(file), 3):
                damaged[min(place, generator.integers(1, len(file)))] = generator.integers(256)
            try:
                decode_grey(bytes(damaged), "picture")
            except ValueError as error:
                said.append(str(error))
    assert len(said) > 50
    assert all(line.startswith("picture ") for line in said)


def test_what_pillow_logs_is_not_printed_above_the_reason(tmp_path):
    samples = b"\x15\x01\x03\x00\x01\x00\x00\x00"  # the tag of the samples per pixel
    whole = content(Image.fromarray(GREY).convert("RGB"), "tiff")
    assert samples + b"\x03\x00" in whole
    (tmp_path / "damaged.tiff").write_bytes(whole.replace(samples + b"\x03\x00", samples + b"\x2c\x01"))
    program = """
import logging, sys
from pathlib import Path
from vae.data.decode import size_of
logging.getLogger().handlers.clear()  # pytest's; without one, Python prints what is logged
size_of(Path(sys.argv[1]))
"""
    ended = forked.run(program, tmp_path / "damaged.tiff")
    assert ended.stderr.startswith("Traceback")
    assert ended.stderr.splitlines()[-1].startswith(f"ValueError: {tmp_path / 'damaged.tiff'} ")
