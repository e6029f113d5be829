"""What a data set is: where its raw files come from, what may be said of it, how it becomes slices."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from latent_anatomy.data import names
from latent_anatomy.data.slices import Slices, defect

MIRROR_VARIABLE = "LATENT_ANATOMY_MIRROR"


@dataclass(frozen=True)
class RawFile:
    """One file as its publisher ships it.

    `name` may lie in folders, as "patient01/FLAIR.nii.gz". `url` is None for a file that only a mirror folder
    has. `algorithm` ("md5" or "sha256") and `checksum` (hexadecimal) are None only for a file that this
    project makes: any other without is refused when it is fetched.
    """

    name: str
    url: str | None = None
    algorithm: str | None = None
    checksum: str | None = None

    def verify(self, path: Path) -> None:
        """Raise ValueError unless the bytes at `path` have the registered checksum."""
        if self.checksum is None:
            return
        with path.open("rb") as stream:
            checksum = hashlib.file_digest(stream, self.algorithm).hexdigest()
        if checksum != self.checksum:
            size = path.stat().st_size
            raise defect(
                path,
                f"{self.algorithm} {self.checksum}",
                f"{checksum} ({size:,} bytes)",
                "delete this file and fetch again; a file that differs from its publisher's may only be "
                "used as a data set registered under its own name",
            )


class Described(Protocol):
    """What is said of every data set. A family extends `Dataset` or `Volumes`, and says what is not so.

    No dataclass, whose fields no property can replace: a family says each for all of its sets, as a field
    that they differ in, or as a property.

    name         its name in every path and table; begins with "phantom-" exactly if `phantom`
    family       folder of a mirror in which its files may lie, beside one of its own name
    stands_for   the published data set with which a paper's numbers may be compared; None if there is
                 none, and for a phantom
    note         why it is not that very file; "" if it is
    files        empty where only the user's folder can tell and it is not here (see `supplied`)
    """

    name: str
    note: str
    licence: str
    files: tuple[RawFile, ...]
    stands_for: str | None = None
    phantom: bool = False

    @property
    def family(self) -> str:
        return self.name

    @property
    def how_to_get(self) -> str:
        return f"put its files in a folder {self.family} into the folder named by {MIRROR_VARIABLE}"


class Dataset(Described, Protocol):
    """A data set of images; a family is one file. `channels`, `classes` and `task` as of `Slices`."""

    channels: int = 1
    classes: int = 0
    task: str

    def to_slices(self, raw_dir: Path) -> Slices:
        """Parse the checksummed files in `raw_dir`; ValueError for anything unexpected in them."""
        ...


@dataclass(frozen=True)
class Subject:
    """Who was imaged, with raw files by their names below the data set's raw folder.

    images   "flair", "t1", ... -> file; the same keys for every subject of a data set
    masks    "lesion", "brain" -> file, on the grid of the data set's `sliced` image; may be empty
    split    "train", "val", "test" or "unlabelled"
    site     hospital or scanner, of all subjects of a data set or of none
    """

    name: str
    images: dict[str, str]
    masks: dict[str, str]
    split: str
    site: str = ""

    def __post_init__(self) -> None:
        names.checked(self.name)

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files: images, then masks."""
        return (*self.images.values(), *self.masks.values())


class Volumes(Described, Protocol):
    """A data set of volumes: it has subjects, which go through `imaging`, in place of `to_slices`.

    subjects   in the order of their names
    sliced     the image that becomes slices and that masks belong to, such as "flair"
    guide      the image by which a subject is registered to the atlas, such as "t1"
    prepared   True where the publisher has done it all: images are in atlas space, bias-corrected and
               stripped, so that only denoising and normalisation remain
    modality   of the sliced image, as in `Slices`
    may_have   masks of which everybody gets a file in atlas space, though nobody may have one yet: the first
               subject that brings one changes nothing for the others

    Where masks have "brain", that is the publisher's; where they have none, it is made (see
    `imaging.stripping`).
    """

    subjects: tuple[Subject, ...]
    sliced: str
    guide: str = "t1"
    prepared: bool = False
    modality: str
    may_have: tuple[str, ...] = ()


class Phantom(Described, Protocol):
    """A data set that this project draws, in the file layout of the one that it takes the place of."""

    stands_for = None
    phantom = True
    licence = "Apache-2.0"

    @property
    def how_to_get(self) -> str:
        return f"run `phantom {self.name}`"

    def generate(self, raw_dir: Path) -> None:
        """Write the raw files into `raw_dir`: same bytes every time."""
        ...


def mirror_folder() -> Path | None:
    """The folder named by LATENT_ANATOMY_MIRROR, None if it is not set; ValueError if it is no folder."""
    value = os.environ.get(MIRROR_VARIABLE)
    if not value:
        return None
    if not Path(value).is_dir():
        raise ValueError(f"{MIRROR_VARIABLE}: expected a folder, found {value!r}: correct it or unset it")
    return Path(value)


def unregistered(dataset: Dataset, file: RawFile) -> ValueError | None:
    """The complaint about a real file whose checksum nobody knows: it could be anything."""
    if file.checksum is not None or dataset.phantom:
        return None
    remedy = "take it with sha256sum from a file that you trust, and register it with the data set"
    return defect(f"{dataset.name}: {file.name}", "a registered checksum", "none", remedy)


def checked(dataset: "Dataset | Volumes", name: str, raw_dir: Path) -> Path:
    """Where the raw file `name` lies, after its checksum was found right: to be asked before it is parsed.

    Raises ValueError for other bytes or a name that the data set has not, FileNotFoundError without the file.
    """
    file = next((file for file in dataset.files if file.name == name), None)
    if file is None:
        raise defect(f"{dataset.name}: raw file", "one of its files", repr(name), "check its name")
    if (untrusted := unregistered(dataset, file)) is not None:
        raise untrusted
    path = raw_dir / name
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a raw file, found none: run `fetch` (or `phantom`) first")
    file.verify(path)
    return path


def find_in_mirror(dataset: Dataset, file: RawFile, mirror: Path) -> Path | None:
    """Where `mirror` has the file: in <mirror>/<dataset>/, <mirror>/<family>/ or <mirror>/ itself.

    ValueError for a link there that leads to nothing.
    """
    for folder in (mirror / dataset.name, mirror / dataset.family, mirror):
        path = folder / file.name
        if path.is_file():
            return path
        if path.is_symlink():
            raise linked_to_nothing(path)
    return None


def linked_to_nothing(path: Path) -> ValueError:
    """The complaint about a link whose content is elsewhere, as git-annex and DataLad leave them."""
    return defect(path, "a file", "a link to nothing", "bring its content (`git annex get`, `datalad get`)")
