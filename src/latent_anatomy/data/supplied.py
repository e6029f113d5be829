"""Folders that the user brings: the user's own data, and published data without published checksums.

Such a folder lies in the mirror folder under the name of its data set and has, beside its files, SHA256SUMS,
as sha256sum writes it. The user thereby says once which bytes are meant; from then on they are fetched and
checked like a publisher's, and another file under a known name is refused. `fetch` copies SHA256SUMS too, so
that where there is no mirror, the copy below data/raw tells what belongs to the data set.
"""

import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path, PurePosixPath

from latent_anatomy.data.dataset import RawFile, mirror_folder
from latent_anatomy.data.slices import defect
from latent_anatomy.provenance.files import sha256_file

SUMS = "SHA256SUMS"
RAW = Path("data/raw")
LINE = re.compile(r"([0-9a-f]{64}) [ *](?:\./)?(.+)")
TAKE = f"write {SUMS} there again: find -L . -type f ! -name {SUMS} -exec sha256sum {{}} + > {SUMS}"


def folder_of(dataset: str) -> Path | None:
    """<mirror>/<dataset>, else data/raw/<dataset>: the first of them with SHA256SUMS; None without one."""
    mirror = mirror_folder()
    places = [*([] if mirror is None else [mirror / dataset]), RAW / dataset]
    return next((place for place in places if (place / SUMS).is_file()), None)


def listed(folder: Path, patterns: Iterable[str]) -> dict[str, str]:
    """Name below `folder` -> SHA-256, as SHA256SUMS says; no file is read.

    Raises ValueError for a line of another form, a name twice or outside of the folder, and for a file that
    matches one of the glob `patterns` and is not listed: it would be left out without a word.
    """
    path, checksums = folder / SUMS, {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        match = LINE.fullmatch(line)
        name = PurePosixPath(match[2]) if match else None
        if name is None or name.is_absolute() or ".." in name.parts:
            raise defect(f"{path}, line {number}", "a SHA-256 and a name below this folder", line, TAKE)
        if str(name) in checksums:
            raise defect(f"{path}, line {number}", "every file once", f"{name} again", TAKE)
        checksums[str(name)] = match[1]
    present = {each.relative_to(folder).as_posix() for pattern in patterns for each in folder.glob(pattern)}
    if missing := sorted(present - checksums.keys()):
        raise defect(path, "every file of this folder", f"not {_some(missing)}", TAKE)
    return checksums


def manifest(path: Path) -> tuple[RawFile, ...]:
    """The files of a list in the same form that comes with this package, in its order."""
    lines = (LINE.fullmatch(line) for line in path.read_text(encoding="utf-8").splitlines())
    return tuple(RawFile(line[2], None, "sha256", line[1]) for line in lines)


def raw_files(folder: Path, names: Iterable[str], sums: dict[str, str]) -> tuple[RawFile, ...]:
    """The files `names` with their checksums, and SHA256SUMS; ValueError for names that it has not."""
    names = sorted(names)
    if missing := [name for name in names if name not in sums]:
        raise defect(folder / SUMS, f"{len(names)} files of this data set", f"not {_some(missing)}", TAKE)
    files = (RawFile(name, None, "sha256", sums[name]) for name in names)
    return (*files, RawFile(SUMS, None, "sha256", sha256_file(folder / SUMS)))


def files_of(
    datasets: Iterable[str], patterns: Iterable[str], chosen: Callable[[Collection[str]], Iterable[str]]
) -> tuple[RawFile, ...]:
    """What `chosen` takes of all names listed in the first folder that one of `datasets` has, and SHA256SUMS.

    None without a folder. ValueError as `listed` and `raw_files` say.
    """
    folder = next(filter(None, map(folder_of, datasets)), None)
    if folder is None:
        return ()
    sums = listed(folder, patterns)
    return raw_files(folder, chosen(sums), sums)


def how_to_get(dataset: str, what: str, page: str = "brain-data") -> str:
    """The way of `what` into the folder of `dataset`, told at length on that page of docs."""
    return (
        f"put {what} into {dataset} in the folder named by LATENT_ANATOMY_MIRROR, and there write {SUMS} "
        f"with sha256sum (see docs/{page}.md)"
    )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
