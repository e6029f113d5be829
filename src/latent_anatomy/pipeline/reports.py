"""What a study's report is made of beside its results: a notebook, what that imports, a paper.

All three by presence: a study has the notebook of its name, or else the one for every study, and the paper of
its name, or none.
"""

import json
from pathlib import Path

from latent_anatomy.data.slices import defect
from latent_anatomy.pipeline.params import Params
from latent_anatomy.provenance.sources import PACKAGE_ROOT, running_sources

CHECKOUT = PACKAGE_ROOT.parents[1]
FOR_EVERY_STUDY = "notebooks/study.ipynb"


def notebook(study: str, root: Path = CHECKOUT) -> str:
    """The path below `root` of the notebook that shows a study, or the imaging steps ("qc")."""
    own = f"notebooks/{study}.ipynb"
    return own if (root / own).is_file() else FOR_EVERY_STUDY


def paper(study: str, root: Path = CHECKOUT) -> str | None:
    """The path below `root` of what a study's paper prints; None for a study without a paper."""
    own = f"papers/{study}.yaml"
    return own if (root / own).is_file() else None


def shown(params: Params) -> list[str]:
    """The reports that the page of all leads to: of the studies that the collection makes, of its volumes."""
    return [*params.chosen, *(["qc"] if params.collection.volumes else [])]


def modules(path: str, root: Path = CHECKOUT) -> list[str]:
    """The modules of this package that a notebook imports, sorted; they and theirs decide what it shows.

    Raises ValueError where there is no such notebook, or its code cells are not Python alone.
    """
    if not (root / path).is_file():
        raise defect(path, "a notebook", "none", "take it from the repository")
    cells = json.loads((root / path).read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    try:
        return sorted(running_sources().imported(code, path))
    except SyntaxError as error:
        raise defect(path, "Python in its code cells", str(error), "leave magics away") from error
