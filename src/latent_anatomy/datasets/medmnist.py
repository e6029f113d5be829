"""Five sets of MedMNIST v2, at four sizes, and two copies that differ from their publisher's files.

Source: Yang et al., "MedMNIST v2", Scientific Data 10:41 (2023), doi.org/10.5281/zenodo.10519652. Addresses,
sizes, tasks, class names and licences are those of the installed `medmnist` package, MD5 sums are `MD5`.

Raw layout of each `.npz`: `{train,val,test}_images` uint8 (n, size, size) grey or (n, size, size, 3) colour,
and `{train,val,test}_labels` uint8 (n, 1). `bloodmnist.npz` has 28 x 28 pixels, `bloodmnist_64.npz` and so on
64, 128 and 224; papers here print numbers of 28 alone. The official splits are kept. MedMNIST publishes no
patient identifiers, so every image is a subject: whether two splits share a patient cannot be checked.
"""

import ast
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from latent_anatomy.data.dataset import Dataset, RawFile
from latent_anatomy.data.outline import SPLITS, Outline, of_three_splits
from latent_anatomy.data.slices import Slices, defect
from latent_anatomy.provenance.unpacking import read_npz as read_npz_arrays

SIZE = 28
SIZES = (SIZE, 64, 128, 224)
MD5 = {  # the publisher's, as on 10.5281/zenodo.10519652; the package that also has them can be edited
    "bloodmnist": "7053d0359d879ad8a5505303e11de1dc",
    "bloodmnist_64": "2b94928a2ae4916078ca51e05b6b800b",
    "bloodmnist_128": "adace1e0ed228fccda1f39692059dd4c",
    "bloodmnist_224": "b718ff6835fcbdb22ba9eacccd7b2601",
    "breastmnist": "750601b1f35ba3300ea97c75c52ff8f6",
    "breastmnist_64": "742edef2a1fd1524b2efff4bd7ba9364",
    "breastmnist_128": "363e4b3f8d712e9b5de15470a2aaadf1",
    "breastmnist_224": "b56378a6eefa9fed602bb16d192d4c8b",
    "dermamnist": "0744692d530f8e62ec473284d019b0c7",
    "dermamnist_64": "b70a2f5635c6199aeaa28c31d7202e1f",
    "dermamnist_128": "2defd784463fa5243564e855ed717de1",
    "dermamnist_224": "8974907d8e169bef5f5b96bc506ae45d",
    "pneumoniamnist": "28209eda62fecd6e6a2d98b1501bb15f",
    "pneumoniamnist_64": "8f4eceb4ccffa70c672198ea285246c6",
    "pneumoniamnist_128": "05b46931834c231683c68f40c47b2971",
    "pneumoniamnist_224": "d6a3c71de1b945ea11211b03746c1fe1",
    "retinamnist": "bd4c0672f1bba3e3a89f0e4e876791e4",
    "retinamnist_64": "afda852cc34dcda56f86ad2b2457dbcc",
    "retinamnist_128": "e48e916a24454daf90583d4e6efb1a18",
    "retinamnist_224": "eae7e3b6f3fcbda4ae613ebdcbe35348",
}
MODALITY = {
    "bloodmnist": "blood cell microscopy",
    "breastmnist": "breast ultrasound",
    "dermamnist": "dermatoscopy",
    "pneumoniamnist": "chest X-ray",
    "retinamnist": "fundus photography",
}


@cache
def _catalogue() -> dict[str, dict]:
    """`medmnist.INFO`, read from its source file.

    Importing the package would load torch, which data sets must not need, and `medmnist.info` creates a
    folder in the user's home when it is executed; INFO is a literal, so nothing has to be executed.
    """
    package = find_spec("medmnist")
    if package is None:
        raise ModuleNotFoundError("expected the package medmnist, which has the addresses: install it")
    source = Path(package.origin).with_name("info.py")
    for statement in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and statement.targets[0].id == "INFO":
            return ast.literal_eval(statement.value)
    raise defect(source, "the dictionary INFO", "none", "install a version of medmnist that has it")


def info(published: str) -> dict:
    """The publisher's entry for a data set, such as `info("retinamnist")["n_samples"]`."""
    return _catalogue()[published]


class OfMedMnist(Dataset):
    """What the publisher says of the set that is called `published` there."""

    published: str
    size: int
    family = "medmnist"

    @property
    def has(self) -> Outline:
        return replace(of_three_splits(), size=self.size)

    @property
    def at_size(self) -> str:
        """What a note says of a size that is not that of the papers."""
        return "" if self.size == SIZE else f" at {self.size} x {self.size} pixels"

    @property
    def channels(self) -> int:
        return info(self.published)["n_channels"]

    @property
    def classes(self) -> int:
        return len(info(self.published)["label"])

    @property
    def task(self) -> str:
        return info(self.published)["task"]


@dataclass(frozen=True)
class MedMnist(OfMedMnist):
    """One `.npz` of MedMNIST."""

    name: str
    published: str
    file: RawFile
    note: str = ""
    labels_shape: tuple[int, ...] = (1,)
    size: int = SIZE

    @property
    def stands_for(self) -> str | None:
        return self.published if self.size == SIZE else None

    @property
    def licence(self) -> str:
        return info(self.published)["license"]

    @property
    def files(self) -> tuple[RawFile, ...]:
        return (self.file,)

    @property
    def how_to_get(self) -> str:
        place = f"put {self.file.name} into the folder named by LATENT_ANATOMY_MIRROR"
        return place if self.file.url is None else f"fetch it from {self.file.url}, or {place}"

    def to_slices(self, raw_dir: Path) -> Slices:
        path = raw_dir / self.file.name
        arrays = read_npz(path, self.file)
        sizes = info(self.published)["n_samples"]
        return from_arrays(arrays, path, self.name, self.published, sizes, self.size, self.labels_shape)


def read_npz(path: Path, file: RawFile) -> dict[str, np.ndarray]:
    """All arrays of an `.npz`, after its checksum was found right."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a raw file, found none: run `fetch` (or `phantom`) first")
    file.verify(path)
    return read_npz_arrays(path, remedy="fetch it again")


def from_arrays(
    arrays: dict[str, np.ndarray],
    path: Path,
    name: str,
    published: str,
    sizes: dict[str, int],
    size: int = SIZE,
    labels_shape: tuple[int, ...] = (1,),
) -> Slices:
    """Check the raw arrays of `path` and put the splits one after the other.

    `sizes` has the images in each split, `size` is that of one, `labels_shape` the shape of one label. Raises
    ValueError for a missing or unknown key, another shape, type or size, NaN, or a label out of range.
    """
    remedy = "fetch the file again"
    expected = {f"{split}_{kind}" for split in SPLITS for kind in ("images", "labels")}
    if set(arrays) != expected:
        raise defect(path, f"keys {', '.join(sorted(expected))}", ", ".join(sorted(arrays)) or "none", remedy)
    colour = (3,) if info(published)["n_channels"] == 3 else ()
    classes = len(info(published)["label"])
    for split in SPLITS:
        _expect(arrays, f"{split}_images", (sizes[split], size, size, *colour), path)
        _expect(arrays, f"{split}_labels", (sizes[split], *labels_shape), path)
        if arrays[f"{split}_labels"].max() >= classes:
            found = arrays[f"{split}_labels"].max()
            raise defect(f"{path}: {split}_labels", f"labels 0..{classes - 1}", found, remedy)
    images = np.concatenate([arrays[f"{split}_images"] for split in SPLITS])
    images = np.moveaxis(images, -1, 1) if colour else images[:, None]
    count = len(images)
    return Slices(
        images=np.ascontiguousarray(images),
        labels=np.concatenate([arrays[f"{split}_labels"].reshape(-1) for split in SPLITS]).astype(np.int64),
        subject=np.array([f"{split}-{index:06d}" for split in SPLITS for index in range(sizes[split])]),
        slice=np.zeros(count, np.int32),
        split=np.repeat(SPLITS, [sizes[split] for split in SPLITS]),
        modality=np.full(count, MODALITY[published]),
        dataset=name,
        task=info(published)["task"],
        classes=classes,
    )


def _expect(arrays: dict[str, np.ndarray], key: str, shape: tuple[int, ...], path: Path) -> None:
    array = arrays[key]
    if array.shape != shape or array.dtype != np.uint8:
        nan = " with NaN" if array.dtype.kind == "f" and np.isnan(array).any() else ""
        found = f"{array.dtype} {array.shape}{nan}"
        raise defect(f"{path}: {key}", f"uint8 {shape}", found, "fetch the file again")


def file_name(published: str, size: int) -> str:
    """What the publisher calls the file of a set at a size, less its ending.

    >>> file_name("bloodmnist", 28), file_name("bloodmnist", 64)
    ('bloodmnist', 'bloodmnist_64')
    """
    return published if size == SIZE else f"{published}_{size}"


def _official(published: str, size: int) -> MedMnist:
    """Of the checksum that this repository pins; ValueError where the installed package has another."""
    entry, name = info(published), file_name(published, size)
    at = name.removeprefix(published)  # as in "url_64"
    if entry[f"MD5{at}"] != MD5[name]:
        remedy = "install medmnist again; if its publisher has changed the file, it is another data set"
        raise defect(f"the package medmnist: {name}", f"MD5 {MD5[name]}", entry[f"MD5{at}"], remedy)
    file = RawFile(f"{name}.npz", entry[f"url{at}"], "md5", MD5[name])
    note = "" if size == SIZE else f"{size} x {size} pixels, where papers have {SIZE} x {SIZE}"
    return MedMnist(name, published, file, note, size=size)


DATASETS = (
    *(_official(published, size) for size in SIZES for published in MODALITY),
    MedMnist(
        "breastmnist-resaved",
        "breastmnist",
        RawFile(
            "BreastMNIST_resaved.npz",
            None,
            "sha256",
            "5e68d79723fb3a63a399b0a66b66451799fc2eb3651f469cec0b679cfd743b68",
        ),
        note="BreastMNIST saved anew: official sizes and class counts, labels (n,), not the publisher's MD5",
        labels_shape=(),
    ),
    MedMnist(
        "pneumoniamnist-reassembled",
        "pneumoniamnist",
        RawFile(
            "pneumoniamnist_reassembled.npz",
            None,
            "sha256",
            "194a7199bf9cbb2dd7f140ebd73fc4c2fa71f44049d84a8b5269dbbcf648ad48",
        ),
        note="PneumoniaMNIST put together from two re-saved copies: official sizes and class counts, "
        "training images in another order, not the publisher's MD5",
    ),
)
