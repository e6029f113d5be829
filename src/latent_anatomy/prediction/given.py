"""What somebody gives to be predicted: whose images there are, found without reading them.

A BIDS folder, a NIfTI file, a folder with DICOM series, a PNG or a folder of them. Whoever has no name that
may be told gets a running number: the images of a DICOM folder, of a file, of a folder of pictures.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from latent_anatomy.data.slices import defect
from latent_anatomy.datasets.bids_entities import ALIKE, HARMLESS, MAGNITUDE, entities
from latent_anatomy.prediction import dicom

SUFFIXES = {"FLAIR": "flair", "T1w": "t1", "T2w": "t2", "PDw": "pd"}  # of BIDS -> image, as data sets name it
UNSTATED = "unstated"  # an image whose file does not say what it is
NIFTI = (".nii", ".nii.gz")
LABEL = re.compile(r"sub-[A-Za-z0-9]+")
WORDS = re.compile(r"(?<![a-z0-9])(flair|t1w?|t2w?|pdw?)(?![a-z0-9])", re.IGNORECASE)


@dataclass(frozen=True)
class Given:
    """One subject, or one session of it, and its images.

    name      sub-<label> or sub-<label>_ses-<label>, as in names of files
    kind      of its files
    images    "flair", "t1", ... or UNSTATED -> its files: one, or those of a DICOM series in their order
    file      what the table calls it beside its name, "" where nobody needs it or it must not be told
    warnings  what is known to be unusual
    problem   why it cannot be taken, "" if it can
    """

    name: str
    kind: Literal["nifti", "dicom", "png"]
    images: dict[str, tuple[Path, ...]] = field(default_factory=dict)
    file: str = ""
    warnings: tuple[str, ...] = ()
    problem: str = ""


def find(source: Path) -> list[Given]:
    """Everybody in `source`, in a fixed order; ValueError where it is none of the above or has nobody."""
    if source.is_file():
        if source.name.endswith(NIFTI):
            kinds = {SUFFIXES.get(word, word) for word in _words(source.name)}
            return [Given("sub-001", "nifti", {kinds.pop() if len(kinds) == 1 else UNSTATED: (source,)})]
        if source.suffix.lower() == ".png":
            return [Given("sub-001", "png", {UNSTATED: (source,)}, source.name)]
        raise defect(source, "a NIfTI file (.nii, .nii.gz) or a PNG", "another name", "convert it first")
    if not source.is_dir():
        raise FileNotFoundError(f"{source}: expected a file or folder to predict, found none: check the path")
    if people := sorted(each for each in source.glob("sub-*") if each.is_dir()):
        return [given for folder in people for given in _of_bids(source, folder)]
    if pictures := sorted(each for each in source.iterdir() if each.suffix.lower() == ".png"):
        names = _numbered(len(pictures))
        return [
            Given(name, "png", {UNSTATED: (each,)}, each.name)
            for name, each in zip(names, pictures, strict=True)
        ]
    if found := dicom.studies(source):
        names = _numbered(len(found))
        return [
            Given(name, "dicom", study.images, "", study.warnings, study.problem)
            for name, study in zip(names, found, strict=True)
        ]
    expected = "a BIDS folder (sub-*), DICOM series or PNG files"
    raise defect(source, expected, "none of them", "name a folder that has some, or one NIfTI file")


def _words(name: str) -> Iterable[str]:
    """What the name of a file says of its modality, by the names of images."""
    for word in WORDS.findall(name.replace("_", " ")):
        yield word.lower().rstrip("w")


def _numbered(count: int) -> list[str]:
    width = max(3, len(str(count)))
    return [f"sub-{number:0{width}}" for number in range(1, count + 1)]


def _of_bids(root: Path, folder: Path) -> list[Given]:
    """A participant's sessions, or the participant itself where it has none."""
    sessions = sorted(each for each in folder.glob("ses-*") if each.is_dir())
    return [_unit(root, folder.name, place) for place in sessions or [folder]]


def _unit(root: Path, who: str, place: Path) -> Given:
    name = who if place.name == who else f"{who}_{place.name}"
    where = place.relative_to(root).as_posix()
    if not all(LABEL.fullmatch(part.replace("ses-", "sub-", 1)) for part in name.split("_", 1)):
        return Given(name, "nifti", file=where, problem="expected labels of letters and digits in its name")
    found: dict[str, list[Path]] = {}
    warnings, refused = [], []
    for path in sorted((place / "anat").glob("*.nii*")) if (place / "anat").is_dir() else ():
        stem = path.name.split(".")[0]
        kind = SUFFIXES.get(stem.rsplit("_", 1)[-1])
        if kind is None or not path.name.endswith(NIFTI):
            continue
        said = entities(path.name)
        if odd := [f"{key}-{value}" for key, value in said.items() if not _taken(key, value)]:
            refused.append(f"expected an image as it was taken, found {', '.join(odd)} of {kind}")
            continue
        found.setdefault(kind, []).append(path)
        warnings += [f"{kind} has {key}-{said[key]}" for key in ALIKE if key in said]
    problem = "; ".join(refused) if refused and not found else ""
    if twice := [kind for kind, paths in found.items() if len(paths) > 1]:
        problem = f"expected one image of each kind, found {len(found[twice[0]])} of {twice[0]}"
    elif not found and not problem:
        problem = f"expected images in anat/ that end in {', '.join(SUFFIXES)}, found none"
    images = {kind: tuple(paths) for kind, paths in found.items()}
    return Given(name, "nifti", images, where, tuple(warnings), problem)


def _taken(key: str, value: str) -> bool:
    """Whether an image with this entity is what its suffix says, on its own grid."""
    if key == "space":
        return value in ("orig", "individual")
    return key in HARMLESS or key in ALIKE or (key, value) == MAGNITUDE
