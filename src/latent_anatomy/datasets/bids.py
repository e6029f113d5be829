"""The user's own MR images in a BIDS folder (bids.neuroimaging.io): the data set `bids-<name>`.

    participants.tsv                                           with a column `split`
    sub-<label>/[ses-<label>/]anat/sub-<label>[_ses-<label>][_...]_FLAIR.nii[.gz], ..._T1w.nii[.gz]
    [derivatives/<any>/]sub-<label>/[ses-<label>/]anat/..._label-lesion_mask.nii[.gz] (see `bids_names`)
    SHA256SUMS                                                 of all of them (see `supplied`)

`split` is train, val, test or unlabelled, or n/a for who is left out. A subject is a participant, or a
session of one; all sessions are in the participant's split. Everybody has the same images: FLAIR, T1 or both.
FLAIR is what becomes slices, where there is one, and the lesion mask lies on its grid; who has no mask is not
delineated. Masks in another space (with the entity `space`) are not used. Entities that change what an image
shows are refused (see `bids_entities`).
"""

import csv
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from latent_anatomy.data import supplied  # and not the package, which has all data sets
from latent_anatomy.data.dataset import RawFile, Subject, Volumes, linked_to_nothing
from latent_anatomy.data.slices import SPLITS, defect
from latent_anatomy.datasets import bids_entities
from latent_anatomy.datasets.bids_names import IMAGE, MASK, PLACES, SUFFIXES, passed_over

NAME = re.compile(r"bids-(?!.*__)[A-Za-z0-9][A-Za-z0-9_-]*")  # "__" is between the members of a pool
TABLE = "participants.tsv"
LEFT_OUT = "n/a"

Value = TypeVar("Value")
FilesOf = dict[str, dict[str | None, str]]  # subject -> kind (of a mask: None) -> file


@dataclass(frozen=True)
class Bids(Volumes):
    """The data set in the folder `name` of the mirror folder, or in its copy below data/raw.

    Raises ValueError, when asked for files or subjects, for whatever in the folder is not as described above.
    """

    name: str
    note = "the user's own; the files are those of the user's SHA256SUMS"
    licence = "the user's own: not to be passed on"
    may_have = ("lesion",)

    @property
    def how_to_get(self) -> str:
        return supplied.how_to_get(self.name, "your BIDS folder")

    @property
    def sliced(self) -> str:
        return "flair" if "flair" in self._kinds else "t1"

    @property
    def guide(self) -> str:
        return "t1" if "t1" in self._kinds else "flair"

    @property
    def modality(self) -> str:
        return {"flair": "MR FLAIR", "t1": "MR T1"}[self.sliced]

    @property
    def _kinds(self) -> set[str]:
        return {kind for subject in self.subjects for kind in subject.images}

    @cached_property
    def files(self) -> tuple[RawFile, ...]:
        folder, subjects = supplied.folder_of(self.name), self.subjects
        if folder is None:
            return ()
        names = [TABLE, *(name for subject in subjects for name in subject.files)]
        return supplied.raw_files(folder, names, self._sums)

    @property
    def passed_over(self) -> list[str]:
        """Files that look like an image or a mask, and are not taken."""
        return [] if supplied.folder_of(self.name) is None else passed_over(self._sums)

    @cached_property
    def _sums(self) -> dict[str, str]:
        return supplied.listed(supplied.folder_of(self.name), PLACES)

    @cached_property
    def subjects(self) -> tuple[Subject, ...]:
        """In the order of their names; none while the folder is not here."""
        folder = supplied.folder_of(self.name)
        if folder is None:
            return ()
        found = survey(folder, self._sums)
        if found.faults:
            raise found.faults[0]
        return found.subjects


@dataclass(frozen=True)
class Survey:
    """What the names of a folder's files and its table tell: subjects, or each reason why it has none."""

    subjects: tuple[Subject, ...]
    faults: tuple[ValueError, ...]


def survey(folder: Path, sums: Mapping[str, str | None]) -> Survey:
    """Of the files `sums` below `folder`, name -> SHA-256 (None: nobody vouches yet); no image is read."""
    faults: list[ValueError] = []

    def tried(step: Callable[..., Value], *given: object) -> Value | None:
        try:
            return step(*given)
        except ValueError as error:
            faults.append(error)
            return None

    split = tried(_splits, folder, sums)
    images, masks = (tried(_files_by_subject, pattern, sums, folder) for pattern in (IMAGE, MASK))
    if None not in (split, images):
        tried(_same_images, folder, split, images)
    if None not in (images, masks):
        tried(_no_stray_masks, folder, images, masks)
    if faults:  # what follows takes names and table to be right
        return Survey((), tuple(faults))
    images, masks = (
        {name: own for name, own in each.items() if split.get(_participant(name)) != LEFT_OUT}
        for each in (images, masks)
    )
    tried(bids_entities.check, folder, images, masks)
    subjects = () if faults else tried(_subjects, split, images, masks)
    return Survey(subjects or (), tuple(faults))


def _subjects(split: dict[str, str], images: FilesOf, masks: FilesOf) -> tuple[Subject, ...]:
    return tuple(
        Subject(
            name=name,
            images={SUFFIXES[kind]: file for kind, file in sorted(own.items())},
            masks={"lesion": masks[name][None]} if name in masks else {},
            split=split[_participant(name)],
        )
        for name, own in sorted(images.items())
    )


def _no_stray_masks(folder: Path, images: FilesOf, masks: FilesOf) -> None:
    if stray := sorted(masks.keys() - images.keys()):
        remedy = "name the mask after the participant and session of its image"
        raise defect(folder, "lesion masks of subjects with images", f"one of {stray[0]}", remedy)


def _participant(subject: str) -> str:
    return subject.split("_")[0]


def _files_by_subject(pattern: re.Pattern, names: Mapping[str, str | None], folder: Path) -> FilesOf:
    images: FilesOf = {}
    for name in sorted(names):
        match = pattern.fullmatch(name)
        if match is None:
            continue
        subject = "_".join(filter(None, (match["who"], match["when"])))
        kind = match.groupdict().get("kind")
        own = images.setdefault(subject, {})
        if kind in own:
            remedy = "keep the one that is meant, and write SHA256SUMS again"
            raise defect(
                folder, f"one {kind or 'lesion mask'} of {subject}", f"{own[kind]} and {name}", remedy
            )
        own[kind] = name
    return images


def _same_images(folder: Path, split: dict[str, str], images: FilesOf) -> None:
    """ValueError, with who lacks what, unless all have the same images and a line in the table."""
    used = {name: own for name, own in images.items() if split.get(_participant(name)) != LEFT_OUT}
    used |= {
        who: {}
        for who, place in split.items()
        if place != LEFT_OUT and who not in {_participant(name) for name in images}
    }
    wanted = sorted({kind for own in used.values() for kind in own})
    lacks = [
        f"{name} no {' and no '.join(lacking)}"
        for name, own in sorted(used.items())
        if (lacking := [kind for kind in wanted or SUFFIXES if kind not in own])
    ]
    lacks += [f"{name} no line in {TABLE}" for name in sorted(used) if _participant(name) not in split]
    if lacks or not used:
        expected = f"{' and '.join(wanted) or 'FLAIR or T1w'} of every subject, and a line in {TABLE}"
        remedy = f"add what is missing, or set split to {LEFT_OUT} for who is to be left out"
        raise defect(folder, expected, "; ".join(lacks) or "no subject", remedy)


def _splits(folder: Path, sums: Mapping[str, str | None]) -> dict[str, str]:
    """Participant -> split, of the checksummed participants.tsv."""
    path = folder / TABLE
    remedy = f"add a column split with {', '.join(SPLITS)} or {LEFT_OUT} for every participant_id"
    if path.is_symlink() and not path.exists():
        raise linked_to_nothing(path)
    if not path.is_file() or TABLE not in sums:
        raise defect(path, f"this table, listed in {supplied.SUMS}", "none", remedy)
    RawFile(TABLE, None, "sha256", sums[TABLE]).verify(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        again = "save it as UTF-8, and write SHA256SUMS again"
        raise defect(path, "a table in UTF-8", f"another encoding ({error.reason})", again) from error
    # BIDS knows no quotes: a single one belongs to its cell.
    table = csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE)
    if not {"participant_id", "split"}.issubset(table.fieldnames or ()):
        raise defect(path, "columns participant_id and split", ", ".join(table.fieldnames or ()), remedy)
    split: dict[str, str] = {}
    for line in table:
        who, place = line["participant_id"], line["split"]
        if who in split or place not in (*SPLITS, LEFT_OUT):
            found = f"{who} twice" if who in split else f"{place!r} of {who}"
            raise defect(path, "one split of every participant", found, remedy)
        split[who] = place
    return split
