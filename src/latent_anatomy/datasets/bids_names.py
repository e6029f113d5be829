"""What files of a BIDS folder are called: images and lesion masks that are taken, and what is not.

A mask says so by its suffix (mask, roi, dseg) and that it is of lesions by `label-` or `desc-`, in any case
of letters: label-lesion_mask, label-Lesion_roi, desc-lesionManual_dseg. It lies below derivatives or beside
its image. `space-` is that of the image (orig, individual); any other space is another grid.
"""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

SUFFIXES = {"FLAIR": "flair", "T1w": "t1"}
WHO = r"(?P<who>sub-[A-Za-z0-9]+)/(?:(?P<when>ses-[A-Za-z0-9]+)/)?anat/(?P=who)(?(when)_(?P=when))"
ENTITIES = r"(?:_(?!space-)[a-z]+-[A-Za-z0-9+]+)*"
OWN_SPACE = r"(?:_(?!space-(?!(?:orig|individual)_))[a-z]+-[A-Za-z0-9+]+)*"
OF_LESIONS = r"_(?:label|desc)-(?i:lesion)[A-Za-z0-9]*"
IMAGE = re.compile(rf"{WHO}{ENTITIES}_(?P<kind>{'|'.join(SUFFIXES)})\.nii(?:\.gz)?")
MASK = re.compile(
    rf"(?:derivatives/[^/]+/)?{WHO}{OWN_SPACE}{OF_LESIONS}{OWN_SPACE}_(?:mask|roi|dseg)\.nii(?:\.gz)?"
)
FOLDERS = ("sub-*/anat", "sub-*/ses-*/anat")
# Where every volume must be listed, so that none is left out because nobody vouched for it.
PLACES = (
    *(f"{folder}/*_{suffix}.nii*" for folder in FOLDERS for suffix in SUFFIXES),
    *(
        f"{above}{folder}/*[Ll][Ee][Ss][Ii][Oo][Nn]*_{suffix}.nii*"
        for above in ("", "derivatives/*/")
        for folder in FOLDERS
        for suffix in ("mask", "roi", "dseg")
    ),
)
MEANT = re.compile(
    rf".*(?:_(?:{'|'.join(SUFFIXES)}|mask|roi|dseg|probseg)|lesion[^/]*)\.(?:nii|nii\.gz|mgz|mha|nrrd)",
    re.IGNORECASE,
)


def passed_over(names: Iterable[str]) -> list[str]:
    """Those of the names that look like an image or a mask, and are not taken."""
    return sorted(name for name in names if MEANT.fullmatch(name) and not taken(name))


def taken(name: str) -> bool:
    """Whether the name is that of an image or a lesion mask."""
    return any(pattern.fullmatch(name) for pattern in (IMAGE, MASK))


def why_not(name: str) -> str:
    """What keeps a name that is not `taken` from being taken; the first thing that does."""
    *folders, file = PurePosixPath(name).parts
    stem, _, ending = file.partition(".")
    *entities, suffix = stem.split("_")
    below = folders[2:] if folders[:1] == ["derivatives"] else folders
    if ending not in ("nii", "nii.gz"):
        return "expected .nii or .nii.gz: convert it"
    if suffix in SUFFIXES and below != folders:
        return "an image below derivatives: only masks are taken from there"
    if not re.fullmatch(r"sub-[A-Za-z0-9]+/(?:ses-[A-Za-z0-9]+/)?anat", "/".join(below)):
        return "lies elsewhere than in sub-<label>/[ses-<label>/]anat"
    if entities[: len(below) - 1] != below[:-1]:
        return f"its name does not begin with {'_'.join(below[:-1])}, as its folders do"
    if space := next((each for each in entities if each.startswith("space-")), None):
        return f"is in another space than the scanner's ({space})"
    if suffix in ("mask", "roi", "dseg") and not re.search(OF_LESIONS, stem):
        return "does not say that it is of lesions: label-lesion or desc-lesion"
    if suffix not in (*SUFFIXES, "mask", "roi", "dseg"):
        return f"ends in {suffix}: expected {', '.join(SUFFIXES)}, mask, roi or dseg"
    return "has parts that are not <key>-<value> of letters and digits"
