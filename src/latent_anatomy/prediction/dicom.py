"""DICOM series as volumes, by SimpleITK. Nothing that a header says of a person leaves this file.

Identifiers are compared here to tell patients and studies apart, and never handed on: neither names, numbers,
UIDs, dates and institutions, nor the paths of files, nor what a library says in an error about them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from latent_anatomy.imaging.itk import LPS
from latent_anatomy.imaging.volume import FEWEST_VOXELS

MAGIC = b"DICM"  # behind 128 bytes of anything
SAME_STEP = 0.05  # part of the distance between slices by which it may differ
PATIENT, STUDY, SERIES = "0010|0020", "0020|000d", "0020|000e"
MODALITY, DESCRIPTION, PROTOCOL = "0008|0060", "0008|103e", "0018|1030"
POSITION, ORIENTATION, FRAMES, SAMPLES = "0020|0032", "0020|0037", "0028|0008", "0028|0002"
REPETITION, ECHO, INVERSION, AGENT = "0018|0080", "0018|0081", "0018|0082", "0018|0010"
# Sequences by which vendors call what is weighted by T1.
T1_NAMES = ("t1", "mprage", "mp-rage", "bravo", "spgr", "tfl3d", "fspgr")


@dataclass(frozen=True)
class Study:
    """The series of one patient's study, as `given.Given` has them."""

    images: dict[str, tuple[Path, ...]]
    warnings: tuple[str, ...]
    problem: str


def studies(folder: Path) -> list[Study]:
    """Those in a folder and in the folders below, in the order of their first files; [] without DICOM.

    Files belong together that name the same patient and study, or lie together where they name none.
    """
    groups: dict[tuple[str, ...], dict[str, list[tuple[Path, dict[str, str]]]]] = {}
    broken: dict[Path, int] = {}
    homes: dict[Path, tuple[str, ...]] = {}
    for path in sorted(each for each in folder.rglob("*") if each.is_file() and _is_dicom(each)):
        header = _header(path)
        if header is None:
            broken[path.parent] = broken.get(path.parent, 0) + 1
            continue
        own = header.get(PATIENT, ""), header.get(STUDY, "")
        key = own if any(own) else ("", path.parent.as_posix())
        homes.setdefault(path.parent, key)
        groups.setdefault(key, {}).setdefault(header.get(SERIES, ""), []).append((path, header))
    damaged: dict[tuple[str, ...], int] = {}
    for place, count in broken.items():
        key = homes.get(place, ("", place.as_posix()))
        damaged[key] = damaged.get(key, 0) + count
    return [
        _study(groups.get(key, {}).values(), damaged.get(key, 0))
        for key in dict.fromkeys([*groups, *damaged])
    ]


def volume_of(files: tuple[Path, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Intensities (X, Y, Z) float32 of a series, and its affine (4, 4), RAS+; ValueError where it is none."""
    sitk = _sitk()
    try:
        names = [str(path) for path in files]
        image = sitk.ReadImage(names if len(names) > 1 else names[0])
    except RuntimeError:  # whose words have paths and more
        raise _bad("files that can be read", "damaged ones", "export the series again") from None
    if image.GetNumberOfComponentsPerPixel() != 1 or image.GetDimension() != 3:
        found = f"{image.GetNumberOfComponentsPerPixel()} values in {image.GetDimension()} dimensions"
        raise _bad("one number for each voxel of a volume", found, "export the magnitude") from None
    direction = np.array(image.GetDirection()).reshape(3, 3)
    affine = np.eye(4)
    affine[:3, :3] = LPS @ direction * np.array(image.GetSpacing())
    affine[:3, 3] = LPS @ np.array(image.GetOrigin())
    values = sitk.GetArrayFromImage(image).T.astype(np.float32)
    return np.ascontiguousarray(values), affine


def _study(series: Iterable[list[tuple[Path, dict[str, str]]]], damaged: int) -> Study:
    images: dict[str, tuple[Path, ...]] = {}
    warnings, problems = [], []
    for files in series:
        header = files[0][1]
        kind = _kind(header)
        frames = int(header.get(FRAMES, "1") or 1) if len(files) == 1 else len(files)
        if frames < FEWEST_VOXELS:  # a survey, a single picture
            continue
        if kind in images:
            problems.append(
                f"expected one series of each kind, found several of {kind}: export the one meant"
            )
        images[kind] = tuple(path for path, _ in files)
        if len(files) > 1:
            images[kind], problem = _in_order(files)
            problems += [problem] if problem else []
        if header.get(AGENT, ""):
            warnings.append(f"{kind} was taken with a contrast agent")
    if damaged:
        problems.insert(0, f"expected whole DICOM files, found {damaged} damaged: export the series again")
    if not images and not problems:
        problems.append(f"expected a series of {FEWEST_VOXELS} slices or more, found none")
    return Study(images, tuple(warnings), "; ".join(problems))


def _in_order(files: list[tuple[Path, dict[str, str]]]) -> tuple[tuple[Path, ...], str]:
    """The files of a series from one end to the other, and why they are no volume, or ""."""
    paths = tuple(path for path, _ in files)
    try:
        places = np.array([_numbers(header[POSITION], 3) for _, header in files])
        axes = np.array([_numbers(header[ORIENTATION], 6) for _, header in files])
    except (KeyError, ValueError):
        return paths, "expected the position of every slice, found slices without: export the series again"
    if np.abs(axes - axes[0]).max() > 1e-3:
        return paths, "expected parallel slices, found others: export the series again"
    heights = places @ np.cross(axes[0, :3], axes[0, 3:])
    order = np.argsort(heights, kind="stable")
    steps = np.diff(heights[order])
    if steps.min() <= SAME_STEP * steps.max() or np.ptp(steps) > SAME_STEP * np.median(steps):
        found = "slices that are missing, twice there or unevenly spaced"
        return paths, f"expected evenly spaced slices, found {found}: export the series again"
    return tuple(paths[index] for index in order), ""


def _kind(header: Mapping[str, str]) -> str:
    """The image that a series is, as data sets name it: by what it is called, else by its times in ms."""
    modality = header.get(MODALITY, "").lower()
    if modality != "mr":
        return {"ct": "ct", "": "unstated"}.get(modality, "other")
    called = f"{header.get(DESCRIPTION, '')} {header.get(PROTOCOL, '')}".lower()
    for kind, words in (("t1", T1_NAMES), ("flair", ("flair",)), ("t2", ("t2",))):
        if any(word in called for word in words):
            return kind
    repetition, echo, inversion = (_number(header.get(tag, "")) for tag in (REPETITION, ECHO, INVERSION))
    if inversion > 1500 and echo > 60:
        return "flair"
    if 0 < echo < 30 and 0 < repetition < 2500:
        return "t1"
    return "t2" if echo > 60 and repetition > 2000 else "unstated"


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == MAGIC
    except OSError:
        return True  # and found damaged, in place of left out without a word


def _header(path: Path) -> dict[str, str] | None:
    """Tag -> text; None for a file that SimpleITK cannot read."""
    reader = _sitk().ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return None
    return {tag: reader.GetMetaData(tag).strip(" \0") for tag in reader.GetMetaDataKeys()}


def _sitk():
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)  # which would print what is in headers
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    return SimpleITK


def _numbers(text: str, count: int) -> list[float]:
    values = [float(part) for part in text.split("\\")]
    if len(values) != count:
        raise ValueError
    return values


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _bad(expected: str, found: str, remedy: str) -> ValueError:
    return ValueError(f"expected {expected}, found {found}: {remedy}")
