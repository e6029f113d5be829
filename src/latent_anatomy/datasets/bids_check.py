"""What a BIDS folder would give, told before anything runs, by the code that reads it later.

Names and table are surveyed as `bids` does, each image and mask is read as the imaging steps do. A folder
without SHA256SUMS is looked at too: its files count as listed, and that the list is missing is said.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from latent_anatomy.data import supplied
from latent_anatomy.data.dataset import MIRROR_VARIABLE, RawFile, Subject, linked_to_nothing
from latent_anatomy.data.outline import SPLITS
from latent_anatomy.data.slices import defect
from latent_anatomy.datasets import bids
from latent_anatomy.datasets.bids_names import PLACES, passed_over, taken, why_not
from latent_anatomy.imaging import masks, volume

DESCRIPTION = "dataset_description.json"


@dataclass(frozen=True)
class Checked:
    """What `check` found.

    taken     subjects whose files can all be read
    refused   subject, or "" for the whole folder, and the reason
    left      file that looks like an image or a mask, and why it is not taken
    notes     what else is to be known or done
    """

    taken: tuple[Subject, ...]
    refused: tuple[tuple[str, str], ...]
    left: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def check(folder: Path) -> Checked:
    """Look at all of a folder; writes nothing. Raises ValueError where there is no folder."""
    if not folder.is_dir():
        raise defect(folder, "a BIDS folder", "none", "check the path")
    sums: Mapping[str, str | None] = dict.fromkeys(_files(folder))
    refused: list[tuple[str, str]] = []
    vouched = (folder / supplied.SUMS).is_file()
    if vouched:
        try:
            sums = supplied.listed(folder, PLACES)
        except (ValueError, UnicodeDecodeError) as error:
            refused.append(("", str(error)))
    found = bids.survey(folder, sums)
    refused += [("", str(fault)) for fault in found.faults]
    subjects = []
    for subject in found.subjects:
        faults = list(_faults(folder, subject, sums))
        refused += [(subject.name, fault) for fault in faults]
        subjects += [] if faults else [subject]
    if any(not who for who, _ in refused):
        subjects = []  # what is wrong with the folder is so for all
    notes = tuple(_notes(folder, sums, subjects, vouched))
    left = [(name, why_not(name)) for name in passed_over(sums)]
    return Checked(tuple(subjects), tuple(refused), tuple(left), notes)


def _files(folder: Path) -> Iterator[str]:
    """All files below, through links too, as `find -L` lists them, but for the list of checksums."""
    for place, folders, files in os.walk(folder, followlinks=True):
        folders.sort()
        for name in sorted(files):
            path = Path(place, name).relative_to(folder).as_posix()
            if path != supplied.SUMS:
                yield path


def _faults(folder: Path, subject: Subject, sums: Mapping[str, str | None]) -> Iterator[str]:
    """What is wrong with each file of a subject, at most one thing each."""
    sliced = "flair" if "flair" in subject.images else "t1"
    for kind, name in (*subject.images.items(), *subject.masks.items()):
        path = folder / name
        try:
            if path.is_symlink() and not path.exists():
                raise linked_to_nothing(path)
            RawFile(name, None, "sha256", sums[name]).verify(path)
            if kind in subject.masks:
                masks.read(path, kind, folder / subject.images[sliced])
            else:
                volume.read(path)
        except (ValueError, OSError) as error:
            yield str(error)


def _notes(
    folder: Path, sums: Mapping[str, str | None], subjects: list[Subject], vouched: bool
) -> Iterator[str]:
    if fault := _description(folder / DESCRIPTION):
        yield f"{fault}: BIDS asks for one, nothing here needs it"
    endings = (PurePosixPath(name).name for name in sums if not taken(name))
    kinds = Counter(
        name.partition(".")[0].rpartition("_")[2] for name in endings if name.endswith((".nii", ".nii.gz"))
    )
    for name in passed_over(sums):
        kinds -= Counter([PurePosixPath(name).name.partition(".")[0].rpartition("_")[2]])
    if kinds:
        listed = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        yield f"of no use here: NIfTI files of other kinds ({listed})"
    if subjects and (missing := [each for each in SPLITS if each not in {who.split for who in subjects}]):
        lacking = " or ".join(missing)
        yield f"prepared only: a study needs subjects of train, val and test, and none is {lacking}"
    if subjects and not any(who.masks for who in subjects):
        yield "without lesion masks the protocol `lesions` cannot evaluate it"
    if not vouched:
        yield f"to do: {supplied.TAKE.replace('there again', 'in this folder')}"
    if not bids.NAME.fullmatch(folder.resolve().name):
        yield f"to do: link or move it as bids-<name> into the folder named by {MIRROR_VARIABLE}"


def _description(path: Path) -> str | None:
    """What is wrong with the file that says which data set this is."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return f"no {DESCRIPTION}"
    except ValueError as error:
        return f"{DESCRIPTION} is no JSON in UTF-8 ({error})"
    return None if isinstance(found, dict) and "Name" in found else f"{DESCRIPTION} has no Name"
