"""A phantom of MSLUB: T1 and FLAIR of drawn heads, of healthy people and of people with MS-like lesions.

MSLUB (Lesjak et al., Neuroinformatics 2017, doi.org/10.1007/s12021-017-9348-7) has a folder for each patient
with FLAIR, T1W, a brain mask and the consensus of the raters on the lesions, both in the space of the FLAIR
image. This phantom has the same files, FLAIR and T1W as they leave the scanner:

    patient01/FLAIR.nii.gz, T1W.nii.gz, brainmask.nii.gz, consensus_gt.nii.gz

The heads differ in size, shape, ventricles, skull and scalp (`people`, `heads`). They lie
askew in the scanner and move between the two scans, whose planes are oblique. Everything about one depends
only on the seed, its number and whether it is healthy. They show no patient, and no number measured on them
says anything about MSLUB.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.data.dataset import Phantom, RawFile, Subject, Volumes
from latent_anatomy.datasets.phantoms.heads import CONTRASTS, Scan, scan
from latent_anatomy.datasets.phantoms.people import CENTRE, Head, move
from latent_anatomy.imaging import volume
from latent_anatomy.imaging.volume import Volume

FIELD_MM = (196.0, 236.0, 194.0)  # field of view, right, front and up
FIELD_CENTRE = CENTRE + np.array([0, 4, 8])  # where it lies on the head
FILES = {"flair": "FLAIR", "t1": "T1W", "brain": "brainmask", "lesion": "consensus_gt"}


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of a subject. World coordinates in mm; "scanner" means that of its FLAIR image.

    head        the person: `head.deform` is the deformation, after `to_atlas`
    to_atlas    (4, 4) scanner -> atlas, without the deformation
    affine      (4, 4) the best affine for all of it: least squares over the voxels of the brain
    t1_to_flair (4, 4) scanner of the T1 image -> scanner: the movement between the two scans
    brain       mask on the grid of the FLAIR image
    lesion      likewise
    """

    head: Head
    to_atlas: NDArray[np.float64]
    affine: NDArray[np.float64]
    t1_to_flair: NDArray[np.float64]
    brain: Volume
    lesion: Volume

    def position(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where in the atlas scanner `points` (N, 3) lie, deformation included."""
        return self.head.deform(move(self.to_atlas, points))


@dataclass(frozen=True)
class PhantomBrain(Phantom, Volumes):
    """`train` healthy subjects, `val` and `test` ones with lesions; voxel sizes in mm."""

    train: int = 4
    val: int = 1
    test: int = 3
    seed: int = 0
    flair_mm: tuple[float, float, float] = (2.0, 2.0, 3.0)
    t1_mm: tuple[float, float, float] = (2.0, 2.0, 2.0)
    name = "phantom-brain"
    family = "mslub"
    note = "drawn by this project in the layout of MSLUB"
    licence = "Apache-2.0; drawn over the ICBM152 2009a atlas, (C) 1993-2009 Louis Collins, McConnell BIC"
    sliced = "flair"
    modality = "MR FLAIR"

    @property
    def subjects(self) -> tuple[Subject, ...]:
        splits = ["train"] * self.train + ["val"] * self.val + ["test"] * self.test
        return tuple(_subject(f"patient{i:02}", split) for i, split in enumerate(splits, start=1))

    @property
    def files(self) -> tuple[RawFile, ...]:
        return tuple(RawFile(file) for subject in self.subjects for file in subject.files)

    def generate(self, raw_dir: Path) -> None:
        """Write the files of every subject into `raw_dir`; equal fields give equal bytes."""
        for subject in self.subjects:
            head, scanners = self._person(subject)
            flair, t1 = (self._scan(subject, head, scanners, contrast) for contrast in ("flair", "t1"))
            written = {"flair": flair.image, "t1": t1.image, "brain": flair.brain, "lesion": flair.lesion}
            for key, file in (subject.images | subject.masks).items():
                volume.write(raw_dir / file, written[key], kind="uint8")

    def truth(self, subject: Subject) -> Truth:
        """Everything that was put into the files of `subject`, drawn again; reads no file."""
        head, scanners = self._person(subject)
        flair = self._scan(subject, head, scanners, "flair")
        to_atlas = head.size @ scanners["flair"]
        points = move(flair.brain.affine, np.argwhere(flair.brain.values > 0).astype(np.float64))
        rows = np.column_stack([points, np.ones(len(points))])
        solution = np.linalg.lstsq(rows, head.deform(move(to_atlas, points)), rcond=None)[0]
        affine = np.vstack([solution.T, [0, 0, 0, 1]])
        t1_to_flair = np.linalg.inv(scanners["flair"]) @ scanners["t1"]
        return Truth(head, to_atlas, affine, t1_to_flair, flair.brain, flair.lesion)

    def _random(self, subject: Subject, what: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, int(subject.name.removeprefix("patient")), what])

    def _person(self, subject: Subject) -> tuple[Head, dict[str, NDArray[np.float64]]]:
        """The head, and for each scan the rigid (4, 4) from its scanner's world to the head."""
        random = self._random(subject, 0)
        head = Head.draw(random, 0 if subject.split == "train" else int(random.integers(10, 31)))
        flair = _rigid(random, 8, 8)
        return head, {"flair": flair, "t1": flair @ _rigid(random, 3, 4)}

    def _scan(self, subject: Subject, head: Head, scanners: dict, contrast: str) -> Scan:
        random = self._random(subject, 1 + CONTRASTS.index(contrast))
        spacing = np.array(self.flair_mm if contrast == "flair" else self.t1_mm)
        shape = np.ceil(FIELD_MM / spacing).astype(int)
        # Planes follow the head, though not exactly: the affine is oblique.
        oblique = np.linalg.inv(scanners[contrast]) @ _rigid(random, 4, 3)
        corner = np.eye(4)
        corner[:3, 3] = FIELD_CENTRE - spacing * (shape - 1) / 2
        grid = oblique @ corner @ np.diag([*spacing, 1])
        return scan(head, contrast, scanners[contrast], grid, tuple(shape.tolist()), random)


def _subject(name: str, split: str) -> Subject:
    path = {key: f"{name}/{file}.nii.gz" for key, file in FILES.items()}
    images, masks = ({key: path[key] for key in keys} for keys in (("flair", "t1"), ("lesion", "brain")))
    return Subject(name, images, masks, split)


def _rigid(random: np.random.Generator, degrees: float, mm: float) -> NDArray[np.float64]:
    """(4, 4): turned by up to `degrees` about each axis through the brain's centre, then shifted."""
    from scipy.spatial.transform import Rotation  # slow to load, and only drawing needs it

    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler(
        "xyz", random.uniform(-degrees, degrees, 3), degrees=True
    ).as_matrix()
    matrix[:3, 3] = CENTRE - matrix[:3, :3] @ CENTRE + random.uniform(-mm, mm, 3)
    return matrix


DATASETS = (PhantomBrain(),)
