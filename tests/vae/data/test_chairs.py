"""The chairs: read from a folder or a tar, cropped, split by chair, and refused when damaged."""

import hashlib
import io
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from vae.data import chairs, load
from vae.data.dataset import hold_out
from vae.errors import UserError

pytestmark = pytest.mark.usefixtures("elsewhere")


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
    """11 chairs with two views instead of 1,393 with 62, unpacked and as a tar in another order."""
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
        (b"", r"03ab/renders/image_001.png is not a picture"),
        (b"GIF87a", r"03ab/renders/image_001.png (is not a picture|cannot be decoded)"),
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


def test_missing_chairs_are_one_line_that_says_how_to_get_them():
    with pytest.raises(
        UserError, match=r"no 3D chairs under data, .*download https.*rendered_chairs.tar.*--data FOLDER"
    ):
        load("chairs")
