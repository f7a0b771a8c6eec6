"""dSprites, the sprites drawn here, the chairs: read from files of the same layout, split, and refused when damaged."""

import dataclasses
import hashlib
import io
import math
import sys
import tarfile

import numpy as np
import pytest
import torch
from numpy.lib import format as npy
from PIL import Image

import vae.data
from vae.data import PackedImages, chairs, dsprites, load, synth
from vae.data.dataset import hold_out
from vae.errors import UserError

SPRITES = np.random.default_rng(2).integers(0, 2, (50, 64, 64)).astype(np.uint8)


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """No folder of this machine is searched or written."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("JSGMATH_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


# Packed images


def test_packed_images_give_the_bytes_that_were_packed():
    images = PackedImages(torch.from_numpy(np.packbits(SPRITES.reshape(50, -1), axis=1)))
    bytes_ = torch.from_numpy(SPRITES * 255).unsqueeze(1)
    assert len(images) == 50
    assert images.shape == bytes_.shape
    assert images.device == torch.device("cpu")
    indices = torch.tensor([7, 0, 49, 7])
    for index in (slice(None), slice(3, 9), slice(48, 64), slice(5, 5), indices):
        assert torch.equal(images[index], bytes_[index])
    assert torch.equal(images.to("cpu")[indices], bytes_[indices])
    assert images.to("meta").device == torch.device("meta")


def test_a_tenth_is_held_out_once_and_for_all():
    train, test = hold_out(737280)
    assert len(test) == 73728
    assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(737280))
    # Of 73,728 places drawn at random the mean is 368,640 within 5 standard errors of 784: neither the first nor the
    # last tenth, whose means differ from it by 331,776.
    assert abs(test.mean() - 368640) < 5 * 784
    # The draw must never change: these are PCG64(0)'s, whose bits numpy promises to keep.
    assert test[:5].tolist() == [2, 3, 11, 13, 20]
    assert hold_out(2)[1].size == 1


# dSprites


def npz(path, images, name="imgs"):
    np.savez_compressed(path, **{name: images, "latents_classes": np.zeros((len(images), 6))})
    return path


def hdf5(path, images, name="imgs"):
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=images, chunks=True, compression="gzip")
        file.create_group("latents")
    return path


@pytest.fixture
def small_dsprites(monkeypatch, tmp_path):
    """Stands 50 sprites in the place of dSprites' 737,280, and what is written in that of its published hashes."""
    monkeypatch.setattr(dsprites, "SHAPE", SPRITES.shape)
    monkeypatch.setattr(dsprites, "PIECE", 20)

    def write(ending, images=SPRITES, name="imgs", folder="data"):
        (tmp_path / folder).mkdir(exist_ok=True, parents=True)
        path = tmp_path / folder / f"{dsprites.FILE}{ending}"
        (npz if ending == ".npz" else hdf5)(path, images, name)
        pin(path)
        return path

    def pin(path):
        monkeypatch.setitem(dsprites.MD5, path.suffix, hashlib.md5(path.read_bytes()).hexdigest())

    write.pin = pin
    return write


@pytest.mark.parametrize("ending", [".npz", ".hdf5"])
def test_dsprites_are_read_piece_by_piece_and_split(small_dsprites, ending):
    path = small_dsprites(ending)
    for dataset in (load("dsprites"), load("dsprites", path), load("dsprites", path.parent)):
        train, test = hold_out(50)
        assert isinstance(dataset.train_images, PackedImages)
        np.testing.assert_array_equal(dataset.train_images[:][:, 0].numpy(), SPRITES[train] * 255)
        np.testing.assert_array_equal(dataset.test_images[:][:, 0].numpy(), SPRITES[test] * 255)
        # One hash for the npz and the hdf5, for they hold the same images.
        assert list(dataset.sha256.values()) == [hashlib.sha256(np.packbits(SPRITES).tobytes()).hexdigest()]
        assert "5 of 50 images" in dataset.split
        assert "released code tested on its training images" in dataset.split


def test_reading_dsprites_holds_only_a_piece_in_memory_as_bytes(small_dsprites, monkeypatch):
    path = small_dsprites(".npz")
    pieces = [len(piece) for piece in dsprites.npz_pieces(path)]
    assert pieces == [20, 20, 10]
    # The real layout: 32 pieces, and the bits, which are 377 MB.
    monkeypatch.undo()
    assert dsprites.SHAPE[0] % dsprites.PIECE == 0
    assert math.prod(dsprites.SHAPE) // 8 == 377_487_360


@pytest.mark.parametrize("ending", [".npz", ".hdf5"])
def test_dsprites_that_are_truncated_or_another_file_are_refused_by_their_hash(small_dsprites, ending):
    path = small_dsprites(ending)
    whole = path.read_bytes()
    for content in (whole[:-100], whole[:1000], b"", whole.replace(whole[500:510], b"0123456789")):
        path.write_bytes(content)
        with pytest.raises(
            UserError, match=r"has md5 .*, wanted .*: another file, or truncated or damaged; .*get dspr"
        ):
            load("dsprites")
        assert path.read_bytes() == content


@pytest.mark.parametrize("ending", [".npz", ".hdf5"])
@pytest.mark.parametrize(
    ("images", "name", "complaint"),
    [
        (SPRITES[:49], "imgs", r"images of shape \(49, 64, 64\) and type uint8, wanted \(50, 64, 64\)"),
        (SPRITES[:, :32], "imgs", r"images of shape \(50, 32, 64\)"),
        (SPRITES.astype(np.float32), "imgs", "type float32, wanted .* uint8"),
        (SPRITES * 255, "imgs", r"\.(npz|hdf5) has a pixel of 255, wanted 0 and 1 only"),
        (SPRITES, "images", "cannot be read .*imgs"),
    ],
)
def test_dsprites_of_another_shape_type_or_name_are_refused(small_dsprites, ending, images, name, complaint):
    small_dsprites(ending, images, name)
    with pytest.raises(UserError, match=complaint) as error:
        load("dsprites")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("ending", [".npz", ".hdf5"])
@pytest.mark.parametrize("where", [60, 8000], ids=["head", "middle"])
def test_dsprites_damaged_inside_are_refused_even_when_the_hash_is_right(small_dsprites, ending, where):
    path = small_dsprites(ending)
    content = bytearray(path.read_bytes())
    assert len(content) > 16000
    content[where : where + 200] = b"\xff" * 200
    path.write_bytes(content)
    small_dsprites.pin(path)
    with pytest.raises(UserError, match=f"{dsprites.FILE}{ending} (cannot be read|has a pixel of)"):
        load("dsprites")


def test_an_npz_that_ends_early_inside_is_refused(small_dsprites):
    path = small_dsprites(".npz")
    import zipfile

    with zipfile.ZipFile(path, "w") as archive, archive.open("imgs.npy", "w") as file:
        npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": SPRITES.shape})
        file.write(SPRITES[:30].tobytes())
    small_dsprites.pin(path)
    with pytest.raises(UserError, match="ends after 20 images, wanted 50"):
        load("dsprites")


def test_dsprites_that_are_nowhere_say_how_to_get_them_in_one_line(tmp_path):
    with pytest.raises(
        UserError, match=r"no dSprites under data, .*get dsprites.*--data FILE.*dsprites-synth"
    ) as error:
        load("dsprites")
    assert "\n" not in str(error.value)
    (tmp_path / "x.tar").touch()
    with pytest.raises(UserError, match="neither of the official files"):
        load("dsprites", tmp_path / "x.tar")


def test_a_missing_h5py_is_named_in_one_line(small_dsprites, monkeypatch):
    path = small_dsprites(".hdf5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match=r"^reading hdf5 files needs the package h5py: pip install h5py$"):
        load("dsprites", path)


# Sprites drawn here


def inside(shape: int, x: float, y: float) -> bool:
    """The outlines again, as complex numbers and polar coordinates have them; no code shared."""
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


def test_no_pixel_comes_so_near_to_an_outline_that_rounding_decides():
    # Rounding: 13 pixels x a few units of 1.1e-16, thrice in a cube, below 1e-14. One in 20 of all rotations and scales
    # here; over all of them the smallest value is 1.7e-11.
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
    monkeypatch.setattr(synth, "draw", None)  # drawing again would fail
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
        (lambda content: content[:-1] + b"\1", "has sha256 .*, wanted .*: damaged"),
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


# Chairs


def chair(number: int, view: int) -> bytes:
    """600 x 600 pixels: black in the middle 100 x 100, a grey border outside the middle 400 x 400, white between."""
    picture = np.full((600, 600, 3), 255, np.uint8)
    picture[:100] = picture[500:] = picture[:, :100] = picture[:, 500:] = 90
    picture[250:350, 250:350] = (10 * number, view, 0)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "png", compress_level=1)
    return file.getvalue()


@pytest.fixture(scope="module")
def renders():
    return {
        f"{number:02}ab/renders/image_{view:03}.png": chair(number, view) for number in range(11) for view in (0, 1)
    }


@pytest.fixture
def few_chairs(monkeypatch, tmp_path, renders):
    """11 chairs of two views in the place of 1,393 of 62: unpacked, and as a tar, in another order."""
    monkeypatch.setattr(chairs, "PICTURES", 22)
    with tarfile.open(tmp_path / "rendered_chairs.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("rendered_chairs/all_chair_names.mat"), io.BytesIO())
        for name, content in reversed(renders.items()):
            member = tarfile.TarInfo(f"rendered_chairs/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    for name, content in renders.items():
        path = tmp_path / "data" / "rendered_chairs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path


def test_chairs_are_cropped_resized_and_grey_on_white_and_whole_chairs_are_held_out(few_chairs):
    dataset = load("chairs")
    train, test = hold_out(11)
    assert dataset.train_images.shape == (20, 1, 64, 64)
    assert dataset.test_images.shape == (2, 1, 64, 64)
    for images, chosen in ((dataset.train_images, train), (dataset.test_images, test)):
        # Grey is 0.299 red + 0.587 green (ITU-R 601), rounded; the middle 100 of 400 pixels are the middle 16 of 64.
        grey = [0.299 * 10 * number + 0.587 * view for number in chosen for view in (0, 1)]
        assert images[:, 0, 32, 32].tolist() == pytest.approx(grey, abs=1)
        # Lanczos' filter reaches 3 pixels far: outside that everything is white, the cropped border's grey included.
        outside = torch.ones(64, 64, dtype=torch.bool)
        outside[20:44, 20:44] = False
        assert (images[:, 0, outside] == 255).all()
        assert (images[:, 0, 27:37, 27:37] < 130).all()
    assert "1 of 11 chairs" in dataset.split
    assert "released code tested on its training images" in dataset.split


def test_the_tar_and_the_folder_are_the_same_data(few_chairs, renders):
    folder = load("chairs")
    for path in (few_chairs / "rendered_chairs.tar", few_chairs, few_chairs / "data" / "rendered_chairs"):
        dataset = load("chairs", path)
        assert torch.equal(dataset.train_images, folder.train_images)
        assert torch.equal(dataset.test_images, folder.test_images)
        assert dataset.sha256 == folder.sha256
    # What `sha256sum */renders/*.png | sha256sum` prints in that folder.
    lines = "".join(f"{hashlib.sha256(renders[name]).hexdigest()}  {name}\n" for name in sorted(renders))
    assert dataset.sha256 == {"renders": hashlib.sha256(lines.encode()).hexdigest()}


def test_chairs_are_decoded_once_and_again_when_a_picture_changed(few_chairs, monkeypatch):
    first = load("chairs")
    decode = chairs.decode_grey
    monkeypatch.setattr(chairs, "decode_grey", None)
    assert torch.equal(load("chairs").train_images, first.train_images)
    monkeypatch.setattr(chairs, "decode_grey", decode)
    (few_chairs / "data/rendered_chairs/00ab/renders/image_000.png").write_bytes(chair(20, 0))
    assert load("chairs").sha256 != first.sha256
    assert len(list((few_chairs / "cache" / "jsgmath").glob("chairs-*.npz"))) == 2


def test_chairs_that_lack_a_picture_or_hold_a_damaged_one_are_refused(few_chairs):
    path = few_chairs / "data/rendered_chairs/03ab/renders/image_001.png"
    content = path.read_bytes()
    for damaged, complaint in [
        (content[:-300], r"03ab/renders/image_001.png cannot be decoded"),
        (b"", r"03ab/renders/image_001.png is no picture"),
        (b"GIF87a", r"03ab/renders/image_001.png (is no picture|cannot be decoded)"),
    ]:
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=complaint) as error:
            load("chairs")
        assert "\n" not in str(error.value)
    Image.new("L", (300, 600)).save(path)
    with pytest.raises(UserError, match=r"03ab/renders/image_001.png has 300 x 600 pixels, wanted 600 x 600"):
        load("chairs")
    path.unlink()
    with pytest.raises(UserError, match=r"holds 21 pictures, wanted 22: incomplete or truncated; download"):
        load("chairs")
    assert not (few_chairs / "cache").exists()


@pytest.mark.parametrize("keep", [0, 100, 0.3, 0.5001, 0.7])
def test_a_truncated_tar_is_refused(few_chairs, keep):
    path = few_chairs / "rendered_chairs.tar"
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if keep < 1 else keep])
    with pytest.raises(UserError, match=r"rendered_chairs.tar (cannot be read|holds \d+ pictures)") as error:
        load("chairs", path)
    assert "\n" not in str(error.value)


def test_a_damaged_cache_is_refused_and_left_alone(few_chairs):
    load("chairs")
    (cache,) = (few_chairs / "cache" / "jsgmath").iterdir()
    content = cache.read_bytes()
    for damaged in (content[:-100], b"", content[:5000] + b"\0\1\2" + content[5003:]):
        cache.write_bytes(damaged)
        with pytest.raises(UserError, match=r"chairs-\w{16}.npz cannot be read .*remove it, and it is made again"):
            load("chairs")
        assert cache.read_bytes() == damaged


def test_chairs_that_are_nowhere_say_how_to_get_them_in_one_line():
    with pytest.raises(
        UserError, match=r"no 3D chairs under data, .*download https.*rendered_chairs.tar.*--data FOLDER"
    ):
        load("chairs")


def test_the_names_that_can_be_asked_for_are_the_data_sets_and_own():
    import typing

    assert set(typing.get_args(vae.data.DatasetName)) == {*vae.data.SOURCES, "own"}
    for name, source in vae.data.SOURCES.items():
        assert source.name == name
        assert dataclasses.is_dataclass(source)
