"""What was edited by hand after it was committed: printed numbers, committed results, parameters.

A paper's file can be made again of nothing, and committed results not without what git does not bring. So the
history holds them: an edit that is not committed is a break, one that is committed is somebody's word, and is
listed.
"""

from collections.abc import Iterator

from latent_anatomy.audit.git_history import Change, History
from latent_anatomy.audit.links import Link, State

PAPERS, RESULTS = "papers", "results"
ASKED = ("params.yaml", "notebooks")  # what is asked for, and how it is shown
LEDGERS = ":(exclude)results/ledger*.csv"  # which are made again, and change with every result
CLONE = "clone the repository with git"


def uncommitted(history: History) -> Iterator[Link]:
    """What differs from the last commit; that there is no history, where there is none."""
    if not history.here:
        said = "no history is here, so that nobody can tell whether papers and results were edited"
        yield Link(PAPERS, "history", State.UNPROVEN, said, CLONE)
        return
    if history.shallow:
        said = "the history was cut when it was fetched, so that earlier edits cannot be listed"
        yield Link(PAPERS, "history", State.UNPROVEN, said, "git fetch --unshallow")
    for path, how in history.edited(PAPERS, RESULTS).items():
        said = f"expected {path} as it was committed, found it {how}"
        remedy = f"git diff HEAD -- {path}, and commit it or git restore --source=HEAD -- {path}"
        yield Link(path, "history", State.BROKEN, said, remedy)
    for path in history.edited(*ASKED):
        said = "edited since the last commit, so that what is expected here is on no record"
        yield Link(path, "history", State.UNPROVEN, said, f"commit {path}")
    known = history.committed(PAPERS)
    for path in sorted(history.root.glob(f"{PAPERS}/*.yaml")):
        if (name := path.relative_to(history.root).as_posix()) not in known:
            yield Link(
                name,
                "history",
                State.UNPROVEN,
                "not committed, so that nobody knows since when it is so",
                f"git add {name}, and commit it",
            )


def committed(history: History) -> list[Change]:
    """The commits that edited or removed what had been committed of papers and results, the newest first."""
    return history.changes(PAPERS, RESULTS, LEDGERS) if history.here else []
