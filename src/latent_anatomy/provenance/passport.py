"""Where an artefact comes from: inputs, job, sources, environment and device, and the seal over them.

Nothing in a passport depends on when or where it was made: no clock, no host, no absolute path, so
that the same inputs give the same bytes.
"""

import platform
import re
import subprocess
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

from latent_anatomy.provenance import threads
from latent_anatomy.provenance.files import digest, hashes, sha256_file
from latent_anatomy.provenance.sources import PACKAGE_ROOT

LOCK = PACKAGE_ROOT.parents[1] / "requirements.lock"
LIBRARIES = {  # whose versions a passport names, beside the lock of them all, by kind of job
    "bias": ("numpy", "nibabel", "SimpleITK"),
    "coregister": ("numpy", "scipy", "nibabel", "antspyx"),
    "register": ("numpy", "scipy", "nibabel", "antspyx", "nilearn"),
    "strip": ("numpy", "scipy", "nibabel", "antspyx", "nilearn"),
    "normalise": ("numpy", "nibabel", "SimpleITK"),
    "gate": ("numpy",),
    "slice": ("numpy", "h5py"),
    "train": ("torch", "numpy", "h5py", "safetensors"),
    "evaluate": ("torch", "numpy", "scikit-learn", "h5py", "safetensors"),
    "paired-tests": ("torch", "numpy", "scipy"),
    "determinism": ("torch", "numpy", "scipy", "h5py"),
    "report": ("numpy", "scipy", "matplotlib", "papermill", "nbconvert"),
}


def commit() -> dict[str, str | bool | None]:
    """The checkout's commit, and whether sources differ from it or are new; None outside a checkout."""
    command = ["git", "-C", str(PACKAGE_ROOT)]
    try:
        head = subprocess.run([*command, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run(
            [*command, "status", "--porcelain", "--untracked-files=all", "--", str(PACKAGE_ROOT)],
            capture_output=True,
            text=True,
            check=True,
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
    return {"commit": head.stdout.strip(), "dirty": bool(changed.stdout.strip())}


def passport(*, inputs: Mapping[str, Path], job: dict, device: str = "cpu") -> dict:
    """Everything that decides an artefact's bytes. Made when a job starts, and `sealed` when it ends.

    `inputs` maps a role (such as "slices") to a file, recorded by content hash; `job` is the resolved
    job, with its seed and the digest of its sources; `device` is the kind of device ("cpu", or the
    accelerator's model and libraries). The lock is that of the checkout, None outside one.
    """
    return {
        "inputs": hashes(inputs),
        "job": job,
        "source": commit(),
        "environment": environment(LIBRARIES[job["job"]]),
        "device": device,
        "threads": threads.number(),
    }


def environment(libraries: Iterable[str]) -> dict[str, str | None]:
    """Versions of Python and of `libraries`, and "lock", the hash of the lock that they were installed from.

    "lock" is None outside a checkout, and where a library has another version than the lock pins: what ran is
    then known, but not how to install all of it again.
    """
    versions = {name: metadata.version(name) for name in libraries}
    pinned = pins(LOCK.read_text(encoding="utf-8")) if LOCK.is_file() else {}
    followed = all(pinned.get(name.lower()) == version for name, version in versions.items())
    lock = sha256_file(LOCK) if followed and pinned else None
    return {"lock": lock, "python": platform.python_version(), **versions}


def pins(lock: str) -> dict[str, str]:
    """Library, its name in lower case -> version, of the text of a requirements.lock.

    >>> pins("h5py==3.16.0 --hash=sha256:00\\nsimpleitk==2.5.7")
    {'h5py': '3.16.0', 'simpleitk': '2.5.7'}
    """
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock, flags=re.MULTILINE))


def sealed(passport: dict, **more: object) -> dict:
    """The passport with what is known when the job ends, and `seal`, its own hash.

    `more` is `content`, the hash of what the artefact holds beside its passport (see `formats`), and
    `outputs`, the hashes of files that have no room for a passport. A passport that is moved to another
    artefact then disagrees with it, and one that is edited disagrees with its seal.
    """
    whole = passport | more
    return whole | {"seal": digest(whole)}
