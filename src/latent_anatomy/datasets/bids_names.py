"""What files of a BIDS folder are called: images and lesion masks that are taken, and what is not.

A mask says so by its suffix (mask, roi, dseg) and that it is of lesions by `label-` or `desc-`, in any case
of letters: label-lesion_mask, label-Lesion_roi, desc-lesionManual_dseg. It lies below derivatives or beside
its image. `space-` is that of the image (orig, individual); any other space is another grid.
"""

import re
from collections.abc import Iterable

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
    taken = (IMAGE, MASK)
    return sorted(
        name
        for name in names
        if MEANT.fullmatch(name) and not any(pattern.fullmatch(name) for pattern in taken)
    )
