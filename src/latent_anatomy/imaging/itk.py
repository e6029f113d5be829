"""Volumes as SimpleITK images and back, computed by one thread.

ITK sums over its threads in the order in which they end, so only one thread gives the same bytes twice.
"""

from typing import TYPE_CHECKING

import numpy as np

from latent_anatomy.imaging.volume import Volume

if TYPE_CHECKING:
    import SimpleITK

LPS = np.diag([-1.0, -1.0, 1.0])  # ITK's world runs towards the left, the back and the top


def image(volume: Volume) -> "SimpleITK.Image":
    """The volume as a float32 image at the same place in the world; sets this process to one ITK thread."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    converted = SimpleITK.GetImageFromArray(volume.values.T)
    converted.SetSpacing(volume.spacing_mm.tolist())
    converted.SetOrigin((LPS @ volume.affine[:3, 3]).tolist())
    converted.SetDirection((LPS @ volume.affine[:3, :3] / volume.spacing_mm).ravel().tolist())
    return converted


def values(image: "SimpleITK.Image") -> np.ndarray:
    """(X, Y, Z) array of an image, in C order."""
    import SimpleITK

    return np.ascontiguousarray(SimpleITK.GetArrayFromImage(image).T)
