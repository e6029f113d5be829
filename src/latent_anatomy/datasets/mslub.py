"""Multiple sclerosis, 3 T, Ljubljana: the cross-sectional data set, and parts of it and of the longitudinal.

Lesjak et al.: A novel public MR image dataset of multiple sclerosis patients with lesion segmentations based
on multi-rater consensus. Neuroinformatics 16 (2018), doi.org/10.1007/s12021-017-9348-7. Lesjak et al.:
Validation of white-matter lesion change detection methods on a novel publicly available MRI image database.
Neuroinformatics 14 (2016). Both of the Laboratory of Imaging Technologies (lit.fe.uni-lj.si/tools) and, in
the layouts used here, of github.com/muschellij2/open_ms_data. All images are defaced.

    mslub                          30 patients, heads with skull, bias-corrected and on the grid of FLAIR
    mslub-t2                       T2 of the same patients, also on the grid of FLAIR
    ms-lesion-mni                  two of them, as brains in MNI space
    mslub-longitudinal-patient01   one patient at two time points, raw

Neither publisher gives checksums. Those of the smaller sets were taken from files that this project has had;
those of `mslub` and `mslub-t2` are the user's (see `supplied`). The names of their files are those that the
README of open_ms_data lists under "Slightly Processed/Coregistered Data".
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from latent_anatomy.data import supplied  # and not the package, which has all data sets
from latent_anatomy.data.dataset import RawFile, Subject, Volumes

LICENCE = "CC BY"
MANIFEST = Path(__file__).with_suffix(".sha256")
PATIENTS = tuple(f"patient{number:02d}" for number in range(1, 31))
VALIDATION = PATIENTS[5::6]  # every sixth; the other 25 are the test split


@dataclass(frozen=True)
class Mslub(Volumes):
    """The data set `mslub`: `<patient>/{FLAIR,T1W,brainmask,consensus_gt}.nii.gz`.

    5 patients for validation and 25 for test, as in Baur et al. 2021, but by a fixed rule, where the split
    of its authors is random and unpublished.
    """

    name = stands_for = "mslub"
    family = "open_ms_data"
    note = "its publisher gives no checksums: the files are those of the user's SHA256SUMS"
    licence = LICENCE
    sliced = "flair"
    modality = "MR FLAIR"
    images: ClassVar = {"flair": "FLAIR", "t1": "T1W"}
    masks: ClassVar = {"brain": "brainmask", "lesion": "consensus_gt"}
    site = ""

    @property
    def how_to_get(self) -> str:
        what = "the 30 folders of cross_sectional/coregistered from github.com/muschellij2/open_ms_data"
        return supplied.how_to_get(self.name, what)

    @property
    def subjects(self) -> tuple[Subject, ...]:
        return tuple(
            Subject(
                name=patient,
                images={kind: f"{patient}/{name}.nii.gz" for kind, name in self.images.items()},
                masks={kind: f"{patient}/{name}.nii.gz" for kind, name in self.masks.items()},
                split="val" if patient in VALIDATION else "test",
                site=self.site,
            )
            for patient in PATIENTS
        )

    @cached_property
    def files(self) -> tuple[RawFile, ...]:
        folder = supplied.folder_of(self.name)
        if folder is None:
            return ()
        names = [name for subject in self.subjects for name in subject.files]
        return supplied.raw_files(folder, names, supplied.listed(folder, ()))


@dataclass(frozen=True)
class MslubT2(Mslub):
    """The data set `mslub-t2`: `<patient>/{T2W,consensus_gt}.nii.gz`, to be tested on after `ixi-t2`.

    Alone, so that both data sets are registered and stripped in the same way: by T2, and without the
    publisher's brain masks, of which IXI has none. The lesions are delineated in the space of FLAIR; not all
    of them need be seen in T2.
    """

    name = stands_for = "mslub-t2"
    sliced = guide = "t2"
    modality = "MR T2"
    images: ClassVar = {"t2": "T2W"}
    masks: ClassVar = {"lesion": "consensus_gt"}
    site = "Ljubljana"


@dataclass(frozen=True)
class OpenMsData(Volumes):
    """A part of the publication of which this project knows the checksums."""

    name: str
    note: str
    subjects: tuple[Subject, ...]
    files: tuple[RawFile, ...]
    guide: str
    prepared: bool
    family = "ms_lesion"
    licence = LICENCE
    sliced = "flair"
    modality = "MR FLAIR"


def _brain(patient: str) -> Subject:
    flair = f"MNI/{patient}/FLAIR_N4_noneck_reduced_winsor_regtoFLAIR_brain_N4_regtoMNI.nii.gz"
    lesion = f"MNI/{patient}/GOLD_STANDARD_N4_noneck_reduced_winsor_regtoFLAIR_regtoMNI.nii.gz"
    return Subject(patient, {"flair": flair}, {"lesion": lesion}, "test")


def _study(number: int) -> Subject:
    start = f"longitudinal/raw/patient01/study{number}_"
    images = {"flair": f"{start}FLAIR.nii.gz", "t1": f"{start}T1W.nii.gz"}
    return Subject(f"patient01-study{number}", images, {}, "unlabelled")


def _registered(start: str) -> tuple[RawFile, ...]:
    return tuple(file for file in supplied.manifest(MANIFEST) if file.name.startswith(start))


DATASETS = (
    Mslub(),
    MslubT2(),
    OpenMsData(
        name="ms-lesion-mni",
        note="two of the 30 patients of MSLUB, as their publisher prepared them: brain only, bias-corrected "
        "and registered to MNI152 at 1 mm, the lesion masks resampled with them",
        subjects=(_brain("patient07"), _brain("patient19")),
        files=_registered("MNI/"),
        guide="flair",
        prepared=True,
    ),
    OpenMsData(
        name="mslub-longitudinal-patient01",
        note="one patient at two time points, raw; the lesions are not delineated, only their change is",
        subjects=(_study(1), _study(2)),
        files=_registered("longitudinal/"),
        guide="t1",
        prepared=False,
    ),
)
