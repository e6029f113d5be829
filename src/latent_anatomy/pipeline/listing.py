"""What there is, one row each: data sets, runs, studies, collections and protocols.

Read from params.yaml and the files of the package; no method and no protocol is imported.
"""

import ast
from collections.abc import Callable, Iterable
from pathlib import Path

from latent_anatomy.data.dataset import mirror_folder
from latent_anatomy.datasets import bids
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.evaluation import registry as protocols
from latent_anatomy.methods import registry as methods
from latent_anatomy.pipeline import reports
from latent_anatomy.pipeline.params import Params

Rows = list[tuple[str, ...]]  # of which the first has the titles


def of_datasets(params: Params) -> Rows:
    """All that are registered, the user's BIDS folders in the mirror folder, and who builds each."""
    mirror = mirror_folder()
    own = [] if mirror is None else sorted(path.name for path in mirror.glob("bids-*") if path.is_dir())
    listed = dict.fromkeys(name for each in params.collections.values() for name in each.datasets)
    names = dict.fromkeys((*datasets.NAMES, *filter(bids.NAME.fullmatch, (*own, *listed))))
    rows = [("data set", "kind", "collections", "what")]
    for found in map(datasets.find, names):
        kind = "volumes" if datasets.of_volumes(found) else "images"
        users = (label for label, each in params.collections.items() if found.name in each.datasets)
        rows.append((found.name, kind, _words(users), found.note or "as published"))
    return rows


def of_runs(params: Params) -> Rows:
    """Those of `methods`, what each stands on, and the studies that compare it."""
    rows = [("run", "method", "on", "studies", "what")]
    for run, block in params.methods.items():
        users = (name for name, study in params.studies.items() if run in study.runs)
        what = _title(methods.FOLDER / f"{block['method']}.py")
        rows.append((run, block["method"], block.get("on", "-"), _words(users), what))
    return rows


def of_studies(params: Params) -> Rows:
    """Each with the number of its runs, its protocols and what it is held against."""
    rows = [("study", "runs", "protocols", "paper", "collections")]
    for name, study in params.studies.items():
        users = (label for label, each in params.collections.items() if name in each.studies)
        paper = reports.paper(name) or "-"
        rows.append((name, str(len(study.runs)), _words(study.evaluation), paper, _words(users)))
    return rows


def of_collections(params: Params) -> Rows:
    """Each with its data sets and studies; a star marks the one that `data` chooses."""
    rows = [("collection", "", "images", "volumes", "studies")]
    for label, each in params.collections.items():
        counts = (str(len(each.images)), str(len(each.volumes)))
        rows.append((label, "*" if label == params.data else "", *counts, _words(each.studies)))
    return rows


def of_protocols(params: Params) -> Rows:
    """Each with the studies that ask it."""
    rows = [("protocol", "studies", "what")]
    for protocol in protocols.names():
        users = (name for name, study in params.studies.items() if protocol in study.evaluation)
        rows.append((protocol, _words(users), _title(protocols.FOLDER / f"{protocol}.py")))
    return rows


KINDS: dict[str, Callable[[Params], Rows]] = {
    "datasets": of_datasets,
    "runs": of_runs,
    "studies": of_studies,
    "collections": of_collections,
    "protocols": of_protocols,
}


def aligned(rows: Iterable[tuple[str, ...]]) -> str:
    """Rows of the same length as lines of columns, two spaces apart.

    >>> print(aligned([("run", "method"), ("ae", "autoencoder")]))
    run  method
    ae   autoencoder
    """
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _words(names: Iterable[str]) -> str:
    return ", ".join(names) or "-"


def _title(path: Path) -> str:
    """The first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
