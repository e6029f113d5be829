"""IXI: healthy people of 20 to 86 years, T1 and T2, from three hospitals in London.

Information eXtraction from Images, EPSRC GR/S21533/02 (brain-development.org/ixi-dataset), CC BY-SA 3.0.

    ixi             the publisher's T1 volumes, whole heads at about 1 mm
    ixi-t2          its T2 volumes, for which MSLUB has patients with lesions (`mslub-t2`)
    ixi-hh-2mm      ten of them at 2 mm, from Hammersmith Hospital (3 T)
    ixi-hh-slices   eight axial slices at 2 mm of each of 185 people from there

There is no FLAIR in IXI. A person is in the same split in all of them: the hash of the name decides, so that
nobody moves when others are added, and what was trained on one set is not tested on the same people in
another. Of ten, about one goes to test and one to validation.

Names and checksums of the tars are as the data set IXI of TorchIO has them (torchio.readthedocs.io).
"""

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from latent_anatomy.data import supplied  # and not the package, which has all data sets
from latent_anatomy.data.dataset import Dataset, RawFile, Subject, Volumes, checked
from latent_anatomy.data.outline import of_three_splits
from latent_anatomy.data.slices import Slices, defect
from latent_anatomy.datasets.lgg_flair import head_of, normalised
from latent_anatomy.provenance import unpacking

LICENCE = "CC BY-SA 3.0"
PUBLISHED = re.compile(r"IXI\d{3}-(?:Guys|HH|IOP)-\d{4}-(T[12])\.nii\.gz")
TARS = "http://biomedic.doc.ic.ac.uk/brain-development/downloads/IXI"
MD5 = {"T1": "34901a0593b41dd19c1a1f746eac2d58", "T2": "e3140d78730ecdd32ba92da48c0a9aaa"}
MANIFEST = Path(__file__).with_suffix(".sha256")
SLICES, *VOLUMES = supplied.manifest(MANIFEST)
SHAPE = (185, 8, 120, 90)
SIZE = 128
SPACING_MM = 2.0


def split_of(person: str) -> str:
    """The split of a person such as "IXI012"."""
    tenth = int(hashlib.sha256(person.encode()).hexdigest()[:8], 16) % 10
    return {0: "test", 1: "val"}.get(tenth, "train")


def _subject(name: str, kind: str = "t1") -> Subject:
    person, hospital = Path(name).name.split("-")[:2]
    return Subject(person, {kind: name}, {}, split_of(person), hospital)


@dataclass(frozen=True)
class Ixi(Volumes):
    """The data set `ixi`: `IXI<number>-<hospital>-<number>-T1.nii.gz`, as in the publisher's tar."""

    name = stands_for = "ixi"
    note = "unpacked by the user: the files are those of the user's SHA256SUMS"
    licence = LICENCE
    sliced = "t1"
    modality = "MR T1"

    @property
    def how_to_get(self) -> str:
        kind = self.sliced.upper()
        return supplied.how_to_get(self.name, f"the files in {TARS}/IXI-{kind}.tar (MD5 {MD5[kind]})")

    @property
    def subjects(self) -> tuple[Subject, ...]:
        return tuple(_subject(file.name, self.sliced) for file in self.files if self._published(file.name))

    @cached_property
    def files(self) -> tuple[RawFile, ...]:
        folder = supplied.folder_of(self.name)
        if folder is None:
            return ()
        sums = supplied.listed(folder, ["*.nii.gz"])
        names, kind = [name for name in sums if self._published(name)], self.sliced.upper()
        if unknown := sorted(name for name in sums if name not in names and name.endswith(".nii.gz")):
            expected = f"a name such as IXI012-HH-1211-{kind}.nii.gz"
            raise defect(folder / unknown[0], expected, "another", self.how_to_get)
        persons = [name.split("-")[0] for name in names]
        if not names or len(set(persons)) != len(persons):
            found = f"{len(names)} of {len(set(persons))} people"
            raise defect(folder, f"one {kind} image of each person", found, self.how_to_get)
        return supplied.raw_files(folder, names, sums)

    def _published(self, name: str) -> bool:
        """Whether the publisher's images of this kind have such names."""
        match = PUBLISHED.fullmatch(name)
        return match is not None and match[1] == self.sliced.upper()


@dataclass(frozen=True)
class IxiT2(Ixi):
    """The data set `ixi-t2`: the files of `IXI-T2.tar`.

    Nobody is taken to have a lesion, though nobody looked for any: the bright spots that come with age count
    as false positives.
    """

    name = stands_for = "ixi-t2"
    sliced = guide = "t2"
    modality = "MR T2"
    absent = ("lesion",)


@dataclass(frozen=True)
class IxiHammersmith(Volumes):
    """The data set `ixi-hh-2mm`."""

    name = "ixi-hh-2mm"
    family = "ixi"
    note = "ten people of one hospital, resampled to 2 mm and stored as uint8"
    licence = LICENCE
    how_to_get = "put its files in a folder ixi/t1 into the folder named by LATENT_ANATOMY_MIRROR"
    files = tuple(VOLUMES)
    subjects = tuple(_subject(file.name) for file in VOLUMES)
    sliced = "t1"
    modality = "MR T1"


@dataclass(frozen=True)
class IxiSlices(Dataset):
    """The data set `ixi-hh-slices`: `image` (185, 8, 120, 90) uint8, `slice_index` (185, 8) and `subject`.

    Rows run from front to back. Whole heads, neither registered nor stripped, every second to fourth of the
    2 mm slices from the orbits to the crown. Here padded with 0 on all sides to 128 x 128, put on a common
    scale and given the mask "head", both as in `lgg_flair`.
    """

    name = "ixi-hh-slices"
    family = "ixi"
    note = "185 healthy people of one hospital, T1, eight slices each at 2 mm; not registered, not stripped"
    task = "normal anatomy"
    has = of_three_splits("head")
    licence = LICENCE
    file: RawFile = SLICES

    @property
    def files(self) -> tuple[RawFile, ...]:
        return (self.file,)

    def to_slices(self, raw_dir: Path) -> Slices:
        """Images uint8 (1480, 1, 128, 128); ValueError for anything unexpected in the file."""
        path = checked(self, self.file.name, raw_dir)
        raw = unpacking.read_npz(path, remedy="fetch it again")
        if set(raw) != {"image", "slice_index", "subject"}:
            raise defect(path, "image, slice_index and subject", ", ".join(raw), "fetch it again")
        image, position, names = raw["image"], raw["slice_index"], raw["subject"]
        if image.shape[1:] != SHAPE[1:] or image.dtype != np.uint8:
            raise defect(path, f"image uint8 {SHAPE}", f"{image.dtype} {image.shape}", "fetch it again")
        if position.shape != image.shape[:2] or names.shape != image.shape[:1] or names.dtype.kind != "U":
            raise defect(path, "a name for each volume", f"{names.dtype} {names.shape}", "fetch it again")
        persons, hospitals = np.array([name.split("-")[:2] for name in names]).T
        if len(set(persons)) != len(persons):
            raise defect(path, "every person once", "some twice", "fetch it again")
        rows, columns = ((SIZE - length) // 2 for length in SHAPE[2:])
        padded = np.pad(image, ((0, 0), (0, 0), (rows, rows), (columns, columns)))
        heads = np.stack([[head_of(one) for one in person] for person in padded])
        scaled = np.stack([normalised(person, head) for person, head in zip(padded, heads, strict=True)])
        count, each = image.shape[:2]
        return Slices(
            images=scaled.reshape(-1, 1, SIZE, SIZE),
            masks=heads.reshape(-1, 1, SIZE, SIZE).astype(np.uint8),
            mask_names=("head",),
            subject=np.repeat(persons, each),
            slice=position.ravel().astype(np.int32),
            split=np.repeat([split_of(person) for person in persons], each),
            modality=np.full(count * each, "MR T1"),
            site=np.repeat(hospitals, each),
            spacing_mm=np.full((count * each, 3), SPACING_MM, np.float32),
            dataset=self.name,
            task=self.task,
            classes=self.classes,
        )


DATASETS = (Ixi(), IxiT2(), IxiHammersmith(), IxiSlices())
