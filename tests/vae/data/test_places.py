"""A data set is exactly what its name says, or an error of one line says why not and what to do."""

import dataclasses
import gzip
import hashlib

import numpy as np
import pytest
import torch

import vae.data
import vae.fashion_mini.__main__ as maker
from vae.data import PackedImages, load
from vae.data.dataset import Dataset
from vae.data.idx import IdxFile, idx_content, read_idx
from vae.data.mnist import EMBEDDED, FASHION, FASHION_MINI, MNIST
from vae.errors import UserError

IMAGES = np.random.default_rng(1).integers(0, 256, (7, 28, 28)).astype(np.uint8)
LABELS = np.arange(7, dtype=np.uint8)
NAMES = ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte")


def idx(array: np.ndarray) -> bytes:
    """The idx format as http://yann.lecun.com/exdb/mnist describes it, written out by hand."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes()


def expected(name: str, array: np.ndarray) -> IdxFile:
    return IdxFile(name, array.shape, hashlib.sha256(idx(array)).hexdigest())


@pytest.fixture
def small_fashion(monkeypatch, tmp_path):
    """Replaces Fashion-MNIST by a set of 7 + 7 images, and searches no folder of this machine."""
    arrays = dict(zip(NAMES, (IMAGES, IMAGES, LABELS, LABELS), strict=True))
    files = tuple(expected(name, array) for name, array in arrays.items())
    small = dataclasses.replace(FASHION, files=files, packaged=(tmp_path / "debian",))
    monkeypatch.setitem(vae.data.SOURCES, "fashion", small)
    monkeypatch.setattr(maker, "FASHION", small)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("JSGMATH_DATA", raising=False)
    monkeypatch.chdir(tmp_path)

    def write(folder):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for name, array in arrays.items():
            (tmp_path / folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
        return tmp_path / folder

    return write


def test_the_embedded_set_has_5000_and_1000_images_padded_with_zeros_to_32_by_32():
    dataset = load("fashion-mini")
    assert dataset.train_images.shape == (5000, 1, 32, 32)
    assert dataset.test_images.shape == (1000, 1, 32, 32)
    assert dataset.train_images.dtype == torch.uint8
    inside = torch.zeros(32, 32, dtype=torch.bool)
    inside[2:30, 2:30] = True
    assert dataset.train_images[:, :, ~inside].max() == 0
    # Every one of the 28 rows and columns is used by some image, so nothing was shifted into the border and cut off.
    assert (dataset.train_images[:, 0, 2:30, 2:30].amax((0, 1)) > 0).all()


def test_the_first_embedded_images_are_those_of_fashion_mnist():
    # Labels of the first images as the data set's own documentation shows them: an ankle boot, T-shirts, a dress ...
    assert read_idx(EMBEDDED, FASHION_MINI.files[2])[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    labels = load("fashion-mini").test_labels
    assert labels[:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]
    assert sorted(labels.unique().tolist()) == list(range(10))


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_plain_and_compressed_files_read_the_same(tmp_path, ending):
    content = idx(IMAGES)
    (tmp_path / f"images{ending}").write_bytes(gzip.compress(content) if ending else content)
    np.testing.assert_array_equal(read_idx(tmp_path, expected("images", IMAGES)), IMAGES)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "starts with"),
        (b"\x89PNG\r\n", "starts with 89504e47, wanted 00000803"),
        (idx(LABELS), "starts with 00000801, wanted 00000803"),
        (idx(IMAGES)[:10], "has shape"),
        (idx(IMAGES[:6]), r"has shape \(6, 28, 28\), wanted \(7, 28, 28\)"),
        (idx(IMAGES)[:-1], "holds 5,503 bytes, wanted 5,504"),
        (idx(IMAGES) + b"x", "holds 5,505 bytes, wanted 5,504"),
        (idx(255 - IMAGES), "has sha256 .*, wanted .*: it is another data set, or damaged"),
    ],
)
def test_a_damaged_or_foreign_file_is_named_with_what_is_wrong(tmp_path, content, complaint):
    (tmp_path / "images").write_bytes(content)
    with pytest.raises(ValueError, match=complaint) as error:
        read_idx(tmp_path, expected("images", IMAGES))
    assert str(tmp_path / "images") in str(error.value)


@pytest.mark.parametrize(
    "content",
    [gzip.compress(idx(IMAGES))[:-100], b"not gzip", gzip.compress(idx(IMAGES))[:10] + b"\xff" * 50],
    ids=["truncated", "not compressed", "damaged"],
)
def test_a_broken_compressed_file_is_named(tmp_path, content):
    (tmp_path / "images.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"images\.gz cannot be read"):
        read_idx(tmp_path, expected("images", IMAGES))


def test_fashion_is_found_in_the_documented_order(small_fashion, monkeypatch, tmp_path):
    # From the last place to the first: each newly filled place must take precedence over the later ones.
    for folder in ("cache/jsgmath/fashion", "debian", "data", "data/FashionMNIST/raw", "data/fashion"):
        assert small_fashion(folder) == vae.data.SOURCES["fashion"].place().resolve()
    monkeypatch.setenv("JSGMATH_DATA", str(tmp_path / "named"))
    assert small_fashion("named") == vae.data.SOURCES["fashion"].place()
    assert vae.data.SOURCES["fashion"].place(small_fashion("given")) == tmp_path / "given"


def test_a_folder_that_the_user_names_is_not_replaced_by_another(small_fashion, tmp_path):
    small_fashion("data")
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "missing"):
        with pytest.raises(UserError, match=f"no Fashion-MNIST under .*{folder}; .* pass --data FOLDER"):
            load("fashion", tmp_path / folder)


def test_a_folder_with_only_some_of_the_files_is_an_error(small_fashion, tmp_path):
    small_fashion("debian")
    (small_fashion("data") / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(UserError, match=r"data/t10k-labels-idx1-ubyte\[\.gz\] is missing; .* pass --data"):
        load("fashion")


def test_missing_fashion_is_one_line_that_says_how_to_get_it(small_fashion):
    with pytest.raises(
        UserError, match=r"vae.data get fashion.*--data FOLDER.*JSGMATH_DATA.*Debian package.*--dataset fashion-mini"
    ) as error:
        load("fashion")
    assert "\n" not in str(error.value)


def test_fashion_reads_the_files_it_finds(small_fashion):
    dataset = load("fashion", small_fashion("somewhere"))
    np.testing.assert_array_equal(dataset.train_images[:, 0, 2:30, 2:30].numpy(), IMAGES)
    assert dataset.test_labels.tolist() == LABELS.tolist()
    assert dataset.sha256["train-images-idx3-ubyte"] == hashlib.sha256(idx(IMAGES)).hexdigest()


def test_mnist_has_its_own_folders_and_fashions_files_are_not_taken_for_it(small_fashion, tmp_path):
    # The files have the same names; the hashes differ, and the error names the ways to get MNIST.
    assert MNIST.layouts[:2] == ("mnist", "MNIST/raw")
    folder = small_fashion("somewhere")
    with pytest.raises(UserError, match=r"has shape \(7, 28, 28\), wanted \(60000, 28, 28\); .*vae.data get mnist"):
        load("mnist", folder)
    small_fashion("data/fashion")
    with pytest.raises(UserError, match=r"no MNIST under data, .*cache/jsgmath; python -m vae.data get mnist"):
        load("mnist")


def test_an_array_written_as_idx_is_the_format_as_described():
    for array in (IMAGES, LABELS):
        assert idx_content(array) == idx(array)


def test_a_folder_for_the_embedded_set_is_refused_rather_than_ignored(tmp_path):
    with pytest.raises(UserError, match="fashion-mini is embedded"):
        load("fashion-mini", tmp_path)


def test_the_embedded_set_is_made_from_the_first_images_and_the_same_each_time(
    small_fashion, monkeypatch, tmp_path, capsys
):
    parts = tuple(
        expected(name, array[:4]) for name, array in zip(NAMES, (IMAGES, IMAGES, LABELS, LABELS), strict=True)
    )
    monkeypatch.setattr(maker, "FASHION_MINI", dataclasses.replace(FASHION_MINI, files=parts))
    source = small_fashion("source")
    made = []
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        monkeypatch.setattr(maker, "EMBEDDED", tmp_path / folder)
        assert maker.main([str(source)]) == 0
        made.append({path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()})
    assert made[0] == made[1]
    # Bytes 4 to 8 of a gzip file are the time it was made at (RFC 1952); 0 means none.
    assert all(content[4:8] == bytes(4) for content in made[0].values())
    np.testing.assert_array_equal(read_idx(tmp_path / "first", parts[0]), IMAGES[:4])

    assert maker.main([str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith("vae.fashion_mini: no Fashion-MNIST under")


@pytest.mark.parametrize("packed", [False, True])
def test_the_images_of_both_splits_go_to_a_device_and_stay_there(packed):
    images = PackedImages(torch.zeros(3, 128, dtype=torch.uint8)) if packed else torch.zeros(3, 1, 32, 32)
    there = Dataset("mnist", images, images, None, {}, "").to(torch.device("meta"))
    for split in there.splits.values():
        assert split.device.type == split[:2].device.type == "meta"


def test_the_valid_names_are_the_data_sets_and_own():
    import typing

    assert set(typing.get_args(vae.data.DatasetName)) == {*vae.data.SOURCES, "own"}
    for name, source in vae.data.SOURCES.items():
        assert source.name == name
        assert dataclasses.is_dataclass(source)
