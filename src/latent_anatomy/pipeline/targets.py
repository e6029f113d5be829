"""Targets that nobody makes: what Snakemake calls a missing rule or input, told by the names in them."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from latent_anatomy.pipeline.layout import COMPARISON
from latent_anatomy.pipeline.params import ParamsError

# Folder of targets -> kind of the job that makes them, and what each name in their path is.
PLACES = ("study", "data set", "run", "fold and seed")
KINDS = {
    "models": ("train", PLACES),
    "results": ("evaluate", PLACES),
    f"results/{COMPARISON}": ("paired-tests", PLACES[:2]),
    "results/imaging": ("imaging", PLACES[1:2]),
    "data/slices": ("slice", PLACES[1:2]),
    "reports": ("report", PLACES[:1]),
}


def check(targets: Iterable[str], jobs: Iterable[str], collection: str, root: Path = Path()) -> None:
    """ParamsError for the first target with a name that no job of `collection` has.

    `jobs` are paths of the jobs' files, as .params/train/<study>/<data set>/<run>/<replicate>.json. A file
    that is here already is right as it lies; names of rules and files of other folders are Snakemake's.
    """
    names = [PurePosixPath(job).with_suffix("").parts[1:] for job in jobs]
    for target in targets:
        if (root / target).exists() or not (asked := _names(target)):
            continue
        (kind, places), parts = asked
        left = [job[1:] for job in names if job[0] == kind]
        for at, (place, part) in enumerate(zip(places, parts, strict=False)):
            valid = dict.fromkeys(job[at] for job in left if len(job) > at)
            left = [job for job in left if len(job) > at and job[at] == part]
            if not left:
                raise ParamsError(
                    f"{target}: expected a {place} that the collection {collection!r} makes there, "
                    f"{'one of ' + ', '.join(valid) if valid else 'of which it has none'}, found {part!r}: "
                    "correct it, choose another collection (--config data=...), or add it to params.yaml"
                )


def _names(target: str) -> tuple[tuple[str, tuple[str, ...]], tuple[str, ...]] | None:
    """Kind of job, and the names in the path of its target; None for what is no such path."""
    parts = PurePosixPath(target).parts
    if parts[:2] == ("results", "imaging") and len(parts) > 3:
        return KINDS["results/imaging"], parts[2:3]
    if parts[:1] in (("models",), ("results",)) and len(parts) > 3:
        if parts[0] == "results" and parts[2] == COMPARISON:
            return KINDS[f"results/{COMPARISON}"], (parts[1], parts[3])
        return KINDS[parts[0]], parts[1:5]
    folder, suffix = str(PurePosixPath(target).parent), PurePosixPath(target).suffix
    if (folder, suffix) in (("data/slices", ".h5"), ("reports", ".html")):
        return KINDS[folder], (PurePosixPath(target).stem,)
    return None
