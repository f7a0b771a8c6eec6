"""Drawn sprites: every pixel, their file, and damage to it."""

import hashlib
import math

import numpy as np
import pytest
import torch

from vae.data import PackedImages, load, synth
from vae.data.dataset import hold_out
from vae.errors import UserError

pytestmark = pytest.mark.usefixtures("elsewhere")


def inside(shape: int, x: float, y: float) -> bool:
    """The outlines, computed again by complex numbers and polar coordinates, without shared code."""
    if shape == 0:
        return -9.6 <= x <= 9.6 and -9.6 <= y <= 9.6
    if shape == 1:  # the distances to the two foci add up to the long axis
        focus = math.sqrt(12.8**2 - 7.2**2)
        return math.dist((x, y), (focus, 0)) + math.dist((x, y), (-focus, 0)) <= 25.6
    x, y = abs(x) / 9.6, -y / 9.6
    return x * x + y * y - 1 <= math.cbrt(x * x) * y


@pytest.mark.parametrize("shape", [0, 1, 2])
def test_a_pixel_is_white_where_its_centre_lies_inside_the_rotated_scaled_outline(shape):
    random = np.random.default_rng(shape)
    for scale, rotation in [(0.5, 0), (1.0, 7), (0.7, 33)]:
        bits = synth.draw_sprite(synth.OUTLINES[shape], scale, 2 * np.pi * rotation / 39)
        images = PackedImages(torch.from_numpy(bits))[:]
        assert images.shape == (1024, 1, 64, 64)
        turned = complex(math.cos(2 * math.pi * rotation / 39), -math.sin(2 * math.pi * rotation / 39))
        for _ in range(4):
            column, row = random.integers(0, 32, 2)
            expected = np.zeros((64, 64), bool)
            for i in range(64):
                for j in range(64):
                    point = complex(j + 0.5 - 16 - 32 * column / 31, i + 0.5 - 16 - 32 * row / 31) * turned / scale
                    expected[i, j] = inside(shape, point.real, point.imag)
            np.testing.assert_array_equal(images[32 * column + row, 0].numpy() == 255, expected)


def test_no_pixel_is_so_close_to_an_outline_that_rounding_decides():
    # Rounding: 13 pixels x a few units of 1.1e-16, three times in a cube, below 1e-14. This is one case in twenty;
    # over all of them the smallest value is 1.7e-11.
    combinations = [(scale, rotation) for scale in synth.SCALES[::3] for rotation in synth.ROTATIONS[3::8]]
    for outline in synth.OUTLINES:
        for scale, rotation in combinations[:6]:
            assert min(abs(level).min() for level in synth.levels(outline, scale, rotation)) > 1e-11


def test_the_drawing_never_changes():
    digest = hashlib.sha256()
    for outline in synth.OUTLINES:
        digest.update(synth.draw_sprite(outline, synth.SCALES[2], synth.ROTATIONS[9]))
    assert digest.hexdigest() == "7abf0023ca822063c69e0cbe6eec38139d0a51bddcd4d4fabd8714762af9217f"


@pytest.fixture
def few_sprites(monkeypatch):
    """One shape, one scale and one rotation: 1,024 images."""
    bits = synth.draw_sprite(synth.square, 0.5, 0.0)
    monkeypatch.setattr(synth, "OUTLINES", (synth.square,))
    monkeypatch.setattr(synth, "SCALES", synth.SCALES[:1])
    monkeypatch.setattr(synth, "ROTATIONS", synth.ROTATIONS[:1])
    monkeypatch.setattr(synth, "SHAPE", bits.shape)
    monkeypatch.setattr(synth, "SHA256", hashlib.sha256(bits).hexdigest())
    return bits


def test_sprites_are_drawn_once_and_then_read(few_sprites, tmp_path, monkeypatch):
    first = load("dsprites-synth")
    place = tmp_path / "cache" / "jsgmath" / "dsprites-synth.npy"
    assert [path.name for path in place.parent.iterdir()] == [place.name]
    monkeypatch.setattr(synth, "draw_sprite", None)  # drawing again would fail
    for dataset in (first, load("dsprites-synth"), load("dsprites-synth", place)):
        train, test = hold_out(1024)
        assert np.array_equal(dataset.train_images.bits, few_sprites[train])
        assert np.array_equal(dataset.test_images.bits, few_sprites[test])
        assert dataset.name == "dsprites-synth"
        assert list(dataset.sha256.values()) == [synth.SHA256]
    with pytest.raises(UserError, match=r"no drawn sprites under .*nowhere; python -m vae.data get dsprites-synth"):
        load("dsprites-synth", tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda content: content[:-1], "cannot be read"),
        (lambda content: content[:50], "cannot be read"),
        (lambda content: b"", "cannot be read"),
        (lambda content: content[:-1] + b"\1", "has sha256 .*, wanted .*: it is damaged"),
        (lambda content: content.replace(b"(1024, 512)", b"(512, 1024)"), r"has shape \(512, 1024\) and type uint8"),
    ],
)
def test_damaged_drawings_are_refused_and_left_alone(few_sprites, tmp_path, damage, complaint):
    load("dsprites-synth")
    place = tmp_path / "cache" / "jsgmath" / "dsprites-synth.npy"
    content = damage(place.read_bytes())
    place.write_bytes(content)
    with pytest.raises(UserError, match=complaint):
        load("dsprites-synth")
    assert place.read_bytes() == content
