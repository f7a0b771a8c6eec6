"""The 3D chairs of Aubry et al. (CVPR 2014): 62 views of each of 1,393 chairs, downloaded by the user.

The middle 400 x 400 of a picture's 600 x 600 pixels become 64 x 64 grey levels on white, as is usual. (The paper's
released code discards the result of its cropping.) Decoding takes minutes, so its result is kept in the cache folder
under the hash of the pictures.
"""

import hashlib
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from vae.data.dataset import Dataset, hold_out
from vae.data.decode import crop_and_resize, decode_grey
from vae.data.source import Source, cache_folder, hash_of_list
from vae.files import replacing

PICTURES = 86366
CROP = 400
URL = "https://www.di.ens.fr/willow/research/seeing3Dchairs/data/rendered_chairs.tar"


class Chairs(Source):
    def holds(self, place: Path) -> bool:
        return place.is_file() or any(place.glob("*/renders/*.png"))

    def check(self, place: Path) -> str:
        return "when read"  # no hash is published, and hashing gigabytes is slow

    def read(self, place: Path) -> Dataset:
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in renders(place, "hashing chairs")}
        if len(hashes) != PICTURES:
            raise ValueError(f"{place} holds {len(hashes):,} pictures, wanted {PICTURES:,}: incomplete or truncated")
        names = sorted(hashes)
        sha256 = hash_of_list(hashes)
        images = torch.from_numpy(decoded(place, names, sha256)).unsqueeze(1)

        # All views of a chair are in one split, or test images would differ from training images by 11 degrees only.
        chairs, chair = np.unique([name.split("/")[0] for name in names], return_inverse=True)
        train, test = hold_out(len(chairs))
        return Dataset(
            self.name,
            images[torch.from_numpy(np.isin(chair, train))],
            images[torch.from_numpy(np.isin(chair, test))],
            None,
            {"renders": sha256},
            f"all views of {len(test):,} of {len(chairs):,} chairs, a fixed random choice, are for testing only "
            "(the paper's released code tested on its training images)",
        )


CHAIRS = Chairs(
    name="chairs",
    title="3D chairs",
    images="77,748 + 8,618",
    how=f"download {URL} and pass --data FILE",
    otherwise="or --data FOLDER if it is unpacked, or set JSGMATH_DATA to its folder; --dataset fashion-mini works "
    "offline",
    layouts=(
        "",
        *(f"{folder}{name}" for folder in ("", "chairs/") for name in ("rendered_chairs.tar", "rendered_chairs")),
    ),
)


def renders(place: Path, title: str) -> Iterator[tuple[str, bytes]]:
    """Name, ``CHAIR/renders/VIEW.png``, and content of each picture in the tar file or folder, in any order."""
    with tqdm(total=PICTURES, desc=title, unit=" images", leave=False, disable=None) as bar:
        for name, content in tar_members(place) if place.is_file() else folder_members(place):
            yield "/".join(name.parts[-3:]), content
            bar.update()


def tar_members(place: Path) -> Iterator[tuple[Path, bytes]]:
    try:
        with tarfile.open(place, "r:") as archive:
            for member in archive:
                if Path(member.name).match("*/renders/*.png") and (file := archive.extractfile(member)):
                    yield Path(member.name), file.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ValueError(f"{place} cannot be read ({error})") from None


def folder_members(place: Path) -> Iterator[tuple[Path, bytes]]:
    for path in place.glob("*/renders/*.png"):
        yield path, path.read_bytes()


def decoded(place: Path, names: list[str], sha256: str) -> np.ndarray:
    """The pictures as ``count x 64 x 64`` grey levels, in the order of ``names``, from the cache if they are there."""
    cache = cache_folder() / f"chairs-{sha256[:16]}.npz"  # an npz file has a checksum, an npy file has none
    if not cache.exists():
        images = np.empty((len(names), 64, 64), np.uint8)
        row = {name: number for number, name in enumerate(names)}
        for name, content in renders(place, "decoding chairs"):
            image = decode_grey(content, f"{place}: {name}")
            if min(image.size) < CROP:
                raise ValueError(f"{place}: {name} has {image.width} x {image.height} pixels, wanted 600 x 600")
            images[row[name]] = np.asarray(crop_and_resize(image, CROP, 64))
        cache.parent.mkdir(parents=True, exist_ok=True)
        with replacing(cache) as path:
            np.savez(path, images=images)
    try:
        with cache.open("rb") as file, np.load(file) as archive:
            return archive["images"]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{cache} cannot be read ({error}); remove it, and it is made again") from None
