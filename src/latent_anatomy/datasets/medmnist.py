"""Five sets of MedMNIST v2, 28 x 28 pixels, and two copies that differ from their publisher's files.

Source: Yang et al., "MedMNIST v2", Scientific Data 10:41 (2023), doi.org/10.5281/zenodo.10519652. Addresses,
sizes, tasks, class names and licences are those of the installed `medmnist` package, MD5 sums are `MD5`.

Raw layout of each `.npz`: `{train,val,test}_images` uint8 (n, 28, 28) grey or (n, 28, 28, 3) colour, and
`{train,val,test}_labels` uint8 (n, 1). The official splits are kept. MedMNIST publishes no patient
identifiers, so every image counts as a subject of its own: whether two splits share a patient cannot be
checked.
"""

import ast
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from latent_anatomy.data.dataset import Dataset, RawFile
from latent_anatomy.data.outline import SPLITS, of_three_splits
from latent_anatomy.data.slices import Slices, defect
from latent_anatomy.provenance.unpacking import read_npz as read_npz_arrays

SIZE = 28
MD5 = {  # the publisher's, as on 10.5281/zenodo.10519652; the package that also has them can be edited
    "bloodmnist": "7053d0359d879ad8a5505303e11de1dc",
    "breastmnist": "750601b1f35ba3300ea97c75c52ff8f6",
    "dermamnist": "0744692d530f8e62ec473284d019b0c7",
    "pneumoniamnist": "28209eda62fecd6e6a2d98b1501bb15f",
    "retinamnist": "bd4c0672f1bba3e3a89f0e4e876791e4",
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
    family = "medmnist"
    has = of_three_splits()

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

    @property
    def stands_for(self) -> str:
        return self.published

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
        return from_arrays(arrays, path, self.name, self.published, sizes, self.labels_shape)


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
    labels_shape: tuple[int, ...] = (1,),
) -> Slices:
    """Check the raw arrays of `path` and put the splits one after the other.

    `sizes` has the number of images in each split; `labels_shape` is the shape of one label. Raises
    ValueError for a missing or unknown key, another shape, type or size, NaN, or a label out of range.
    """
    remedy = "fetch the file again"
    expected = {f"{split}_{kind}" for split in SPLITS for kind in ("images", "labels")}
    if set(arrays) != expected:
        raise defect(path, f"keys {', '.join(sorted(expected))}", ", ".join(sorted(arrays)) or "none", remedy)
    colour = (3,) if info(published)["n_channels"] == 3 else ()
    classes = len(info(published)["label"])
    for split in SPLITS:
        _expect(arrays, f"{split}_images", (sizes[split], SIZE, SIZE, *colour), path)
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


def _official(published: str) -> MedMnist:
    """Of the checksum that this repository pins; ValueError where the installed package has another."""
    entry = info(published)
    if entry["MD5"] != MD5[published]:
        remedy = "install medmnist again; if its publisher has changed the file, it is another data set"
        raise defect(f"the package medmnist: {published}", f"MD5 {MD5[published]}", entry["MD5"], remedy)
    file = RawFile(f"{published}.npz", entry["url"], "md5", MD5[published])
    return MedMnist(published, published, file)


DATASETS = (
    *(_official(published) for published in MODALITY),
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
