"""Raw files from a mirror folder or from their publisher, checksummed before anything reads them.

A file appears under its name only when it is whole and its checksum is right. Until then a download lies
beside it as `.<name>.part`, from which the next attempt goes on (HTTP Range), in this run or, after a
kill, in the next. Two fetches of one file at once wait for each other.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from tqdm import tqdm

from latent_anatomy.data.dataset import MIRROR_VARIABLE, Dataset, RawFile, find_in_mirror, unregistered
from latent_anatomy.provenance.files import atomic_write
from latent_anatomy.provenance.lock import sweep

ATTEMPTS = 5  # failures in a row without a single new byte
BACKOFF_S = 1.0  # waiting time after the first of them, doubled after each
TIMEOUT_S = (10, 60)  # to connect, and between two bytes
CHUNK_BYTES = 1 << 14  # the most that a dropped connection makes us fetch twice


def fetch(
    dataset: Dataset,
    raw_dir: Path,
    mirror: Path | None,
    progress: bool = True,
    names: Collection[str] = (),
) -> None:
    """Bring every file of `dataset` into `raw_dir`: what is there already, else from `mirror`, else its URL.

    With `names` only these of its files. Raises ValueError for a name that is none of them, a wrong checksum
    (a wrong file in the mirror is refused, not passed over), a file whose checksum nobody registered or that
    has no address, and OSError if the publisher cannot be reached or the disk is full.
    """
    if not dataset.files:
        raise ValueError(f"{dataset.name}: expected its folder, found none: {dataset.how_to_get}")
    if unknown := sorted(set(names) - {file.name for file in dataset.files}):
        raise ValueError(f"{dataset.name}: expected some of its files, found {unknown[0]!r}: check the name")
    for file in [file for file in dataset.files if file.name in names or not names]:
        if (untrusted := unregistered(dataset, file)) is not None:
            raise untrusted
        target = raw_dir / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(target.with_name(f".{target.name}.lock")):
            sweep(target)
            if target.exists():
                file.verify(target)
                continue
            if dataset.phantom:
                raise ValueError(
                    f"{dataset.name}: expected published files, found a phantom: {dataset.how_to_get}"
                )
            mirrored = None if mirror is None else find_in_mirror(dataset, file, mirror)
            if mirrored is not None:
                file.verify(mirrored)
                with atomic_write(target, like=mirrored) as temporary:
                    shutil.copyfile(mirrored, temporary)
            elif file.url is not None:
                _download(file, target, progress)
            else:
                raise ValueError(f"{dataset.name}: {file.name} has no public address: {dataset.how_to_get}")


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process. Removed only on success: whoever waited then finds the file."""
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
        path.unlink(missing_ok=True)


def _download(file: RawFile, target: Path, progress: bool) -> None:
    part = target.with_name(f".{target.name}.part")
    failures = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            _continue(file.url, part, progress)
            break
        except requests.RequestException as error:
            status = getattr(error.response, "status_code", None)
            advanced = part.exists() and part.stat().st_size > before
            failures = 1 if advanced else failures + 1
            permanent = status is not None and 400 <= status < 500 and status not in (408, 429)
            if permanent or failures == ATTEMPTS:
                raise OSError(
                    f"{target}: could not be downloaded from {file.url} ({error}): check the connection and "
                    f"fetch again, or put the file into the folder named by {MIRROR_VARIABLE}"
                ) from error
            time.sleep(BACKOFF_S * 2 ** (failures - 1))
        except OSError as error:
            raise OSError(f"{part}: could not be written ({error}): free space and fetch again") from error
    try:
        file.verify(part)
    except ValueError:
        part.unlink()  # or every later attempt would go on from wrong bytes
        raise
    part.replace(target)


def _continue(url: str, part: Path, progress: bool) -> None:
    """Append to `part` what is missing from it; start again where the server cannot go on."""
    done = part.stat().st_size if part.exists() else 0
    # Unencoded, because offsets and lengths count the bytes of the file.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
        if done and response.status_code == requests.codes.requested_range_not_satisfiable:
            return  # nothing is missing, or too much is there: the checksum tells
        response.raise_for_status()
        if response.status_code != requests.codes.partial_content:
            done = 0
        length = response.headers.get("Content-Length")
        total = None if length is None else done + int(length)
        bar = tqdm(total=total, initial=done, unit="B", unit_scale=True, disable=not progress)
        bar.set_description(part.name.removeprefix(".").removesuffix(".part"))
        with bar, part.open("r+b" if done else "wb") as stream:
            stream.seek(done)
            for chunk in response.iter_content(CHUNK_BYTES):
                stream.write(chunk)
                bar.update(len(chunk))
            stream.flush()
            os.fsync(stream.fileno())
    if total is not None and part.stat().st_size != total:
        raise requests.ConnectionError(f"expected {total:,} bytes, received {part.stat().st_size:,}")
