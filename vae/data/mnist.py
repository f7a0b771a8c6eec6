"""MNIST, Fashion-MNIST and its embedded part: four idx files each, verified by the sha256 of their content."""

from dataclasses import dataclass
from pathlib import Path

import torch

from vae.data.dataset import Dataset, pad_to_32
from vae.data.idx import IdxFile, find, read_idx
from vae.data.source import Source
from vae.errors import UserError

EMBEDDED = Path(__file__).parents[1] / "fashion_mini"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def idx_files(train: int, test: int, sha256: tuple[str, str, str, str]) -> tuple[IdxFile, ...]:
    """The four files of MNIST's layout; hashes in the order of training and test images, training and test labels."""
    return (
        IdxFile("train-images-idx3-ubyte", (train, 28, 28), sha256[0]),
        IdxFile("t10k-images-idx3-ubyte", (test, 28, 28), sha256[1]),
        IdxFile("train-labels-idx1-ubyte", (train,), sha256[2]),
        IdxFile("t10k-labels-idx1-ubyte", (test,), sha256[3]),
    )


@dataclass(frozen=True, kw_only=True)
class IdxSource(Source):
    files: tuple[IdxFile, ...]
    split: str = "as published"

    def holds(self, place: Path) -> bool:
        return any(find(place, file.name) for file in self.files)

    def check(self, place: Path) -> str:
        for file in self.files:
            read_idx(place, file)
        return "sha256"

    def read(self, place: Path) -> Dataset:
        # All four files, though training labels are not used: a folder that lacks one of them is incomplete.
        train_images, test_images, _, test_labels = (torch.from_numpy(read_idx(place, file)) for file in self.files)
        return Dataset(
            self.name,
            pad_to_32(train_images).unsqueeze(1),
            pad_to_32(test_images).unsqueeze(1),
            test_labels,
            {file.name: file.sha256 for file in self.files},
            self.split,
        )


class EmbeddedSource(IdxSource):
    def roots(self, path: Path | None) -> list[Path]:
        if path is not None:
            raise UserError(f"{self.name} is embedded and takes no --data; for your own images use --dataset own")
        return [EMBEDDED]


MNIST = IdxSource(
    name="mnist",
    title="MNIST",
    images="60,000 + 10,000",
    how="python -m vae.data get mnist fetches it",
    otherwise="or pass --data FOLDER with the four idx files (plain or .gz), or set JSGMATH_DATA to it; "
    "--dataset fashion-mini works offline",
    # This project's layout, torchvision's, then the bare files, as Fashion-MNIST's files have the same names.
    layouts=("mnist", "MNIST/raw", ""),
    files=idx_files(
        60000,
        10000,
        (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
)
FASHION = IdxSource(
    name="fashion",
    title="Fashion-MNIST",
    images="60,000 + 10,000",
    how="python -m vae.data get fashion fetches it",
    otherwise="or pass --data FOLDER with the four idx files (plain or .gz), set JSGMATH_DATA to it, or install the "
    "Debian package dataset-fashion-mnist; --dataset fashion-mini works offline",
    layouts=("fashion", "FashionMNIST/raw", ""),
    packaged=(DEBIAN,),
    files=idx_files(
        60000,
        10000,
        (
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
)
FASHION_MINI = EmbeddedSource(
    name="fashion-mini",
    title="embedded images",
    images="5,000 + 1,000",
    how="reinstall this package, which contains it",
    otherwise="or make it with python -m vae.fashion_mini",
    layouts=("",),
    split="the first 5,000 training and the first 1,000 test images of Fashion-MNIST",
    files=idx_files(
        5000,
        1000,
        (
            "626b8bf8433327de7912bae1d0e4c70fdcca53de33970297bf9a2205500c574a",
            "7a6d8e07ea021ec5bc73135ebd0a5770799557ec6f8242d8749c4f32a3cf4643",
            "86cccad95ab36653e416733235fc8fbb50b9429417f4eb2feb35e0b9a294e83c",
            "b40abac7ec8228f434940f579deb7cf7b6e3103b5274cb91d1545771f5ef1c8b",
        ),
    ),
)
