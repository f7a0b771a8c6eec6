"""Own images: each documented format is read, and anything else is refused in one line."""

import gzip
import hashlib
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from vae.data import load
from vae.data.dataset import hold_out
from vae.errors import UserError

RANDOM = np.random.default_rng(3)
IMAGES = RANDOM.integers(0, 256, (20, 32, 32)).astype(np.uint8)
MORE = RANDOM.integers(0, 256, (6, 32, 32)).astype(np.uint8)
LABELS = np.arange(6)


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes()


def write(path, **arrays):
    """An npz or an hdf5 file."""
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    return path


def check(dataset, train, test):
    for images, expected in ((dataset.train_images, train), (dataset.test_images, test)):
        assert images.dtype == torch.uint8
        np.testing.assert_array_equal(images[:, 0].numpy(), expected)


def refused(path) -> str:
    """The error about a path, which is one line; nothing is written."""
    before = sorted(path.parent.rglob("*"))
    with pytest.raises(UserError) as error:
        load("own", path)
    assert "\n" not in str(error.value)
    assert sorted(path.parent.rglob("*")) == before
    return str(error.value)


@pytest.mark.parametrize("ending", [".npz", ".hdf5"])
@pytest.mark.parametrize(
    "names", [("x_train", "x_test", "y_test"), ("train_images", "test_images", "test_labels")], ids=["x", "images"]
)
def test_arrays_with_a_test_part_keep_their_split(tmp_path, ending, names):
    path = write(tmp_path / f"mine{ending}", **dict(zip(names, (IMAGES, MORE, LABELS), strict=True)), other=LABELS)
    dataset = load("own", path)
    check(dataset, IMAGES, MORE)
    assert dataset.test_labels.tolist() == LABELS.tolist()
    assert dataset.split == f"as in mine{ending}"
    assert dataset.sha256[names[0]] == hashlib.sha256(IMAGES.tobytes()).hexdigest()
    assert set(dataset.sha256) == set(names)


@pytest.mark.parametrize("ending", [".npz", ".hdf5"])
@pytest.mark.parametrize("shape", [(20, 32, 32), (20, 1, 32, 32), (20, 32, 32, 1)])
def test_a_single_array_has_a_fixed_split_wherever_its_channel_is(tmp_path, ending, shape):
    path = write(tmp_path / f"mine{ending}", faces=IMAGES.reshape(shape))
    train, test = hold_out(20)
    dataset = load("own", path)
    check(dataset, IMAGES[train], IMAGES[test])
    assert dataset.test_labels is None
    assert dataset.split == "2 of 20 images, a fixed random choice, are for testing only"


@pytest.mark.parametrize("size", [28, 32, 64])
def test_28_is_padded_to_32_and_32_and_64_stay(tmp_path, size):
    images = np.full((10, size, size), 200, np.uint8)
    dataset = load("own", write(tmp_path / "mine.npz", images=images))
    wanted = 64 if size == 64 else 32
    assert dataset.train_images.shape == (9, 1, wanted, wanted)
    border = (wanted - size) // 2
    inside = torch.zeros(wanted, wanted, dtype=torch.bool)
    inside[border : wanted - border, border : wanted - border] = True
    assert (dataset.train_images[:, 0, inside] == 200).all()
    assert dataset.train_images[:, 0, ~inside].sum() == 0


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_floats_are_rounded_to_256_levels_and_booleans_are_black_and_white(tmp_path, dtype):
    # Half precision has 11 bits, so k / 255 is rounded back to k: its error of 2^-12 is far below half a level.
    path = write(tmp_path / "mine.npz", x_train=(IMAGES / 255).astype(dtype), x_test=MORE > 99)
    check(load("own", path), IMAGES, (MORE > 99) * 255)
    path = write(tmp_path / "between.npz", x_train=np.full_like(IMAGES, 100.7 / 255, dtype), x_test=MORE)
    check(load("own", path), np.full_like(IMAGES, 101), MORE)


@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        (IMAGES.astype(np.float32), "images in .* has floats from 0 to 255; wanted [0, 1], or bytes"),
        (IMAGES / 255 - 0.1, "has floats from -0.1 to 0.9"),
        (np.full((9, 32, 32), np.nan), "has floats from nan to nan"),
        (IMAGES.astype(np.int64), "is of type int64; wanted bytes, floats in [0, 1] or booleans"),
        (IMAGES % 2, "has bytes that are 0 or 1 only"),
        (IMAGES[:, :30, :30], "has shape (20, 30, 30); wanted count x size x size, grey, size 28, 32 or 64"),
        (IMAGES[:, :28], "has shape (20, 28, 32)"),
        (np.zeros((9, 32, 32, 3), np.uint8), "has shape (9, 32, 32, 3)"),
        (np.zeros((9, 3, 32, 32), np.uint8), "has shape (9, 3, 32, 32)"),
        (np.zeros((9, 1024), np.uint8), "has shape (9, 1024)"),
        (np.zeros((0, 32, 32), np.uint8), "has shape (0, 32, 32)"),
        (IMAGES[:1], "holds one image only"),
        (np.array([None]), "cannot be read (Object arrays cannot be loaded"),
    ],
)
def test_arrays_that_are_not_images_are_refused_by_name(tmp_path, array, complaint):
    complaint, said = complaint.split(".* "), refused(write(tmp_path / "mine.npz", images=array))
    assert all(part in said for part in complaint)
    assert "mine.npz" in said


@pytest.mark.parametrize("ending", [".npz", ".hdf5"])
@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        (
            {"a": IMAGES, "b": IMAGES},
            "holds a, b; wanted x_train and x_test, train_images and test_images, or a single",
        ),
        ({"x_test": IMAGES, "y_test": LABELS}, "holds x_test, y_test; wanted x_train"),
        ({}, "holds no array"),
        ({"x_train": IMAGES, "x_test": MORE[:, :28, :28]}, None),
        ({"x_train": IMAGES, "x_test": np.zeros((6, 64, 64), np.uint8)}, "have 32 x 32 pixels, test images 64 x 64"),
    ],
)
def test_files_with_other_arrays_say_what_they_hold_and_what_is_wanted(tmp_path, ending, arrays, complaint):
    path = write(tmp_path / f"mine{ending}", **arrays)
    if complaint is None:  # 28 x 28 becomes 32 x 32, so these go together
        assert load("own", path).test_images.shape == (6, 1, 32, 32)
    elif ending == ".npz" and not arrays:
        assert f"{path} starts with 504b0506" in refused(path)
    else:
        assert complaint in refused(path)


@pytest.mark.parametrize("ending", [".npz", ".hdf5"])
@pytest.mark.parametrize("damage", ["truncated", "middle", "head only"])
def test_damaged_npz_and_hdf5_files_are_refused_and_left_alone(tmp_path, ending, damage):
    path = tmp_path / f"mine{ending}"
    if ending == ".npz":
        write(path, x_train=IMAGES, x_test=MORE)
    else:
        with h5py.File(path, "w") as file:
            file.create_dataset("x_train", data=IMAGES, compression="gzip", fletcher32=True)
            file.create_dataset("x_test", data=MORE)
    content = path.read_bytes()
    middle = len(content) // 2
    content = {
        "truncated": content[:-200],
        "middle": content[:middle] + bytes(500) + content[middle + 500 :],
        "head only": content[:20],
    }[damage]
    path.write_bytes(content)
    assert f"{path} cannot be read (" in refused(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_files_are_read_alone_or_in_mnists_layout(tmp_path, ending):
    def put(name, array):
        content = idx(array)
        (tmp_path / f"{name}{ending}").write_bytes(gzip.compress(content) if ending else content)

    train, test = hold_out(20)
    put("faces-idx3-ubyte", IMAGES)
    check(load("own", tmp_path / f"faces-idx3-ubyte{ending}"), IMAGES[train], IMAGES[test])
    put("train-images-idx3-ubyte", IMAGES)
    check(load("own", tmp_path), IMAGES[train], IMAGES[test])
    put("t10k-images-idx3-ubyte", MORE)
    put("t10k-labels-idx1-ubyte", LABELS.astype(np.uint8))
    dataset = load("own", tmp_path)
    check(dataset, IMAGES, MORE)
    assert dataset.test_labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (idx(IMAGES)[:-1], "holds 20,495 bytes, wanted 20,496: truncated or damaged"),
        (idx(IMAGES)[:9], "truncated or damaged"),
        (idx(LABELS.astype(np.uint8)), "starts with 00000801, wanted 00000803"),
        (gzip.compress(idx(IMAGES))[:-50], "cannot be read"),
        (b"", "starts with nothing; wanted an idx, npz or hdf5 file, or a folder"),
        (b"\x93NUMPY", "starts with 934e554d; wanted an idx, npz or hdf5 file"),
        (b"GIF89a", "starts with 47494638"),
    ],
)
def test_files_of_another_kind_and_broken_idx_files_are_refused(tmp_path, content, complaint):
    path = tmp_path / ("mine.gz" if content[:1] == b"\x1f" else "mine")
    path.write_bytes(content)
    said = refused(path)
    assert complaint in said
    assert str(path) in said


def test_an_idx_folder_without_training_images_and_a_path_that_is_not_there_are_named(tmp_path):
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(MORE))
    assert refused(tmp_path) == f"{tmp_path / 'train-images-idx3-ubyte'}[.gz] is missing"
    assert f"{tmp_path / 'nowhere'} does not exist; wanted" in refused(tmp_path / "nowhere")
    with pytest.raises(UserError, match="--dataset own needs --data PATH: wanted an idx, npz or hdf5 file"):
        load("own")


def picture(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def test_pictures_of_one_size_are_not_resized_and_keep_their_split(tmp_path):
    for number, image in enumerate(IMAGES):
        picture(tmp_path / "whole" / f"class{number % 3}" / f"{number:02}.png", image)
        picture(tmp_path / "split" / ("train" if number < 15 else "test") / f"{number:02}.PNG", image)
    (tmp_path / "whole" / "notes.txt").write_text("not a picture")
    dataset = load("own", tmp_path / "split")
    check(dataset, IMAGES[:15], IMAGES[15:])
    assert dataset.split == "as in split"
    order = sorted(range(20), key=lambda number: (number % 3, number))
    train, test = hold_out(20)
    dataset = load("own", tmp_path / "whole")
    check(dataset, IMAGES[order][train], IMAGES[order][test])
    assert dataset.split == "2 of 20 images, a fixed random choice, are for testing only"


def test_larger_pictures_are_cropped_and_resized_and_the_split_says_so(tmp_path):
    # The picture is white outside the middle square; each square has another grey level, in colour.
    for number in range(10):
        array = np.full((128, 200, 3), 255, np.uint8)
        array[:, 36:164] = 20 * number
        picture(tmp_path / f"{number}.png", array)
    picture(tmp_path / "x.png", np.full((64, 64), 7, np.uint8))
    dataset = load("own", tmp_path)
    train, test = hold_out(11)
    levels = np.array([*(20 * number for number in range(10)), 7])
    check(dataset, np.broadcast_to(levels[train, None, None], (10, 64, 64)), np.full((1, 64, 64), levels[test]))
    assert dataset.split.endswith("are for testing only; the middle square of each picture was resized to 64 x 64")


def test_transparent_pixels_are_white(tmp_path):
    array = np.zeros((32, 32, 4), np.uint8)
    array[:16, :, 3] = 255
    for number in range(2):
        picture(tmp_path / f"{number}.png", array)
    images = load("own", tmp_path).train_images[0, 0]
    assert (images[:16] == 0).all()
    assert (images[16:] == 255).all()


def test_pictures_that_are_too_small_damaged_or_absent_are_named(tmp_path):
    assert f"{tmp_path} holds no pictures; wanted" in refused(tmp_path)
    picture(tmp_path / "a.png", IMAGES[0])
    assert "holds one image only" in refused(tmp_path)
    picture(tmp_path / "b.png", IMAGES[1][:28, :28])
    wanted = "wanted all pictures of 28 x 28, 32 x 32 or 64 x 64, or all with at least 64"
    assert f"a.png has 32 x 32 pixels; {wanted}" in refused(tmp_path)
    content = (tmp_path / "a.png").read_bytes()
    for damaged in (content[:-400], content[:400] + bytes(100) + content[500:]):
        (tmp_path / "b.png").write_bytes(damaged)
        assert f"{tmp_path / 'b.png'} cannot be decoded" in refused(tmp_path)
    (tmp_path / "b.png").write_bytes(b"")
    assert f"{tmp_path / 'b.png'} is not a picture" in refused(tmp_path)
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    picture(tmp_path / "train" / "a.png", IMAGES[0])
    assert f"{tmp_path / 'test'} holds no pictures" in refused(tmp_path)


@pytest.mark.parametrize("labels", [LABELS[1:], LABELS / 2, np.eye(6), np.array(["a"] * 6), np.array([None] * 6)])
def test_labels_of_any_form_never_refuse_the_images(tmp_path, labels):
    dataset = load("own", write(tmp_path / "mine.npz", x_train=IMAGES, x_test=MORE, y_test=labels))
    check(dataset, IMAGES, MORE)
    assert dataset.test_labels is None
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(MORE))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(b"damaged")
    check(load("own", tmp_path), IMAGES, MORE)


@pytest.mark.parametrize(
    "names", [("Train", "TEST"), ("train", "val"), ("training", "Validation"), ("TRAIN", "Testing")]
)
def test_the_split_folders_of_pictures_are_found_in_upper_and_lower_case(tmp_path, names):
    for number, image in enumerate(IMAGES):
        picture(tmp_path / names[number >= 15] / f"{number:02}.png", image)
    check(load("own", tmp_path), IMAGES[:15], IMAGES[15:])


def test_hidden_files_and_folders_are_not_data_and_links_to_folders_are_followed(tmp_path):
    for number, image in enumerate(IMAGES):
        picture((tmp_path / "elsewhere" if number >= 10 else tmp_path / "mine" / "a") / f"{number:02}.png", image)
    (tmp_path / "mine" / "b").symlink_to(tmp_path / "elsewhere")
    for place in ("__MACOSX/x.png", "._x.png", ".ipynb_checkpoints/x.png", "a/.x.png", "a/Thumbs.db"):
        (tmp_path / "mine" / place).parent.mkdir(exist_ok=True)
        (tmp_path / "mine" / place).write_bytes(b"not a picture")
    train, test = hold_out(20)
    check(load("own", tmp_path / "mine"), IMAGES[train], IMAGES[test])
    (tmp_path / "mine" / "c").symlink_to(tmp_path / "mine")
    assert "is a link to a folder above it" in refused(tmp_path / "mine")


def test_floats_beyond_1_by_rounding_are_accepted_and_dark_bytes_are_refused(tmp_path):
    beyond = (IMAGES / np.float32(255)) * np.float32(1 + 2e-7)
    check(load("own", write(tmp_path / "mine.npz", x_train=beyond, x_test=MORE)), IMAGES, MORE)
    said = refused(write(tmp_path / "dark.npz", images=IMAGES % 16))
    assert "has bytes from 0 to 15 only, of 255 grey levels; multiply them by 17" in said


def test_gzip_is_known_by_its_content(tmp_path):
    train, test = hold_out(20)
    for name, content in (("a.idx3-ubyte", gzip.compress(idx(IMAGES))), ("b.gz", idx(IMAGES))):
        (tmp_path / name).write_bytes(content)
        check(load("own", tmp_path / name), IMAGES[train], IMAGES[test])


def test_pipes_and_devices_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert "is a pipe or a device" in refused(tmp_path / "pipe.png")
    assert "pipe.png is a pipe, a device or a broken link" in refused(tmp_path)
    with pytest.raises(UserError, match="/dev/zero is a pipe or a device"):
        load("own", Path("/dev/zero"))


def test_hdf5_files_that_refer_to_other_files_or_in_a_circle_are_refused(tmp_path):
    other = write(tmp_path / "other.hdf5", images=IMAGES)
    with h5py.File(tmp_path / "link.hdf5", "w") as file:
        file["images"] = h5py.ExternalLink(other.name, "images")
    assert "images is a link to another file" in refused(tmp_path / "link.hdf5")
    with h5py.File(tmp_path / "stored.hdf5", "w") as file:
        file.create_dataset("images", IMAGES.shape, np.uint8, external=[(tmp_path / "raw", 0, IMAGES.size)])
    assert "images is stored in another file" in refused(tmp_path / "stored.hdf5")
    with h5py.File(tmp_path / "circle.hdf5", "w") as file:
        file["a"], file["b"] = h5py.SoftLink("/b"), h5py.SoftLink("/a")
    assert "circle.hdf5 cannot be read (" in refused(tmp_path / "circle.hdf5")


@pytest.mark.parametrize("ending", [".npz", ".hdf5"])
def test_any_damage_to_an_npz_or_hdf5_file_is_a_line(tmp_path, ending):
    whole = write(tmp_path / f"whole{ending}", x_train=IMAGES, x_test=MORE).read_bytes()
    generator, refusals = np.random.default_rng(2), 0
    for number in range(150):
        content = bytearray(whole)
        for place in generator.integers(0, min(len(content), 2000) if number % 2 else len(content), 3):
            content[place if number % 3 else -1 - place] = generator.integers(256)
        (tmp_path / f"mine{ending}").write_bytes(content)
        try:
            load("own", tmp_path / f"mine{ending}")
        except UserError as error:
            refusals += "\n" not in str(error)
    assert refusals > 20
