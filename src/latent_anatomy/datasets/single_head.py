"""One healthy head: the T1 image that comes with the viewers MRIcroGL and NiiVue.

`chris_t1.nii.gz`, 188 x 256 x 190 voxels of 0.88 mm, uint8, with skull and face.
"""

from dataclasses import dataclass

from latent_anatomy.data.dataset import RawFile, Subject, Volumes

FILE = "chris_t1.nii.gz"


@dataclass(frozen=True)
class SingleHead(Volumes):
    """The data set `chris-t1`, for the imaging chain: one subject is no split."""

    name = "chris-t1"
    family = "brain"
    note = "one healthy adult, T1"
    licence = "CC BY-NC 4.0"
    how_to_get = (
        f"take {FILE} from github.com/neurolabusc/niivue-images and put it into the folder named by "
        "LATENT_ANATOMY_MIRROR"
    )
    files = (
        RawFile(FILE, None, "sha256", "534a240d1d41881bd33ae5b48ac22051836968775275f1261c4115dca0099649"),
    )
    subjects = (Subject("chris", {"t1": FILE}, {}, "unlabelled"),)
    sliced = "t1"
    modality = "MR T1"


DATASETS = (SingleHead(),)
