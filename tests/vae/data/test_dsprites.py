"""dSprites, packed as bits: read from the official files, split, and refused when damaged."""

import hashlib
import math
import sys

import numpy as np
import pytest
import torch
from numpy.lib import format as npy

from vae.data import PackedImages, dsprites, load
from vae.data.dataset import hold_out
from vae.errors import UserError

pytestmark = pytest.mark.usefixtures("elsewhere")


SPRITES = np.random.default_rng(2).integers(0, 2, (50, 64, 64)).astype(np.uint8)


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


def test_the_tenth_that_is_held_out_never_changes():
    train, test = hold_out(737280)
    assert len(test) == 73728
    assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(737280))
    # The mean of 73,728 random indices is 368,640 within 5 standard errors of 784; the means of the first and the last
    # tenth differ from it by 331,776.
    assert abs(test.mean() - 368640) < 5 * 784
    # The draw must never change: NumPy keeps the bits of PCG64(0).
    assert test[:5].tolist() == [2, 3, 11, 13, 20]
    assert hold_out(2)[1].size == 1


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
    """Replaces the 737,280 sprites by 50, and the published hashes by those of the written files."""
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
        # The npz and the hdf5 file hold the same images, so they have one hash.
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
            UserError, match=r"has md5 .*, wanted .*: it is another file, truncated or damaged; .*get dspr"
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


def test_missing_dsprites_are_one_line_that_says_how_to_get_them(tmp_path):
    with pytest.raises(
        UserError, match=r"no dSprites under data, .*get dsprites.*--data FILE.*dsprites-synth"
    ) as error:
        load("dsprites")
    assert "\n" not in str(error.value)
    (tmp_path / "x.tar").touch()
    with pytest.raises(UserError, match="not one of the official files"):
        load("dsprites", tmp_path / "x.tar")


def test_a_missing_h5py_is_named_in_one_line(small_dsprites, monkeypatch):
    path = small_dsprites(".hdf5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match=r"^reading hdf5 files needs the package h5py: pip install h5py$"):
        load("dsprites", path)
