"""Files of other publishers that imaging may need: the SRI24 atlas and the weights of SynthStrip.

They come as the raw files of a data set do (`data.fetch`): from the mirror folder or from their
publisher, with their checksum. Neither is needed by default.
"""

from latent_anatomy.data.dataset import RawFile
from latent_anatomy.data.download import Download

# NITRC publishes no checksum; this is the one that a public account of the atlas's files notes for its
# download of August 2026 (6,522,201 bytes). The atlas has not changed since 2010.
SRI24 = Download(
    name="sri24",
    files=(
        RawFile(
            "sri24_anatomy_nifti.zip",
            "https://www.nitrc.org/frs/download.php/4499/sri24_anatomy_nifti.zip",
            "sha256",
            "c2a66abd5bb37ba443b935ef4732a3e3a2f34ca57bedcdac6cf5902b50f013b6",
        ),
    ),
    licence="CC BY-SA 3.0",
    how_to_get="https://www.nitrc.org/projects/sri24: sri24_anatomy_nifti.zip, into the mirror folder",
)

# The checksum is FreeSurfer's own: it keeps the weights under it (git-annex, mri_synthstrip/synthstrip.1.pt).
SYNTHSTRIP = Download(
    name="synthstrip",
    files=(
        RawFile(
            "synthstrip.1.pt",
            "https://surfer.nmr.mgh.harvard.edu/docs/synthstrip/requirements/synthstrip.1.pt",
            "sha256",
            "37417f802196186441aae3e7f385d94f8a98c64a88acaeaa2723af995c653e33",
        ),
    ),
    licence="FreeSurfer Software License",
    how_to_get="https://surfer.nmr.mgh.harvard.edu/docs/synthstrip: synthstrip.1.pt, into the mirror folder",
)
