"""Which rule brings which raw files: of volumes one for each subject, which leaves the others alone."""

from latent_anatomy.data import supplied
from latent_anatomy.data.dataset import Dataset, Volumes


def of(source: Dataset | Volumes) -> dict[str, tuple[str, ...]]:
    """Name of a rule -> names of the raw files that it brings; none for a folder that lies in data/raw alone.

    Of a user's own folder nothing could be brought again, so that its files are taken as they lie.
    """
    names = tuple(file.name for file in source.files)
    if supplied.SUMS in names and supplied.folder_of(source.name) == supplied.RAW / source.name:
        return {}
    if source.phantom or not hasattr(source, "subjects"):
        return {whole(source): names}
    own = {f"{whole(source)}-{subject.name}": subject.files for subject in source.subjects}
    rest = of_nobody(source)
    return own | ({f"{whole(source)}-rest": rest} if rest else {})


def whole(source: Dataset | Volumes) -> str:
    """The rule that brings all raw files of a data set, by itself or by asking for them."""
    return f"raw-{source.name}"


def of_nobody(source: Dataset | Volumes) -> tuple[str, ...]:
    """The raw files of a data set of volumes that are no subject's, such as a table of them all."""
    own = {name for subject in source.subjects for name in subject.files}
    return tuple(file.name for file in source.files if file.name not in own)


def checksums(source: Dataset | Volumes, names: tuple[str, ...]) -> list[str]:
    """What these files must be: where a user's folder has another one than before, it is brought again."""
    return [f"{file.name} {file.checksum}" for file in source.files if file.name in names]
