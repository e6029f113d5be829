"""What the sections of the page share."""

from collections.abc import Sequence
from typing import NamedTuple

from latent_anatomy.reports.markup import Html, fold, join, table, tag
from latent_anatomy.versions.differences import Change

NO_DIFFERENCE = "no difference"
FEW, MANY = 2, 15  # names that are shown without a fold, lines of a table
ABSENT = tag("span", "not there", "absent")
HASH = 12  # digits of a hash that are shown


class Part(NamedTuple):
    """A section: its name in links, its title, its line of the overview, whether anything differs."""

    name: str
    title: str
    says: str
    differs: bool
    body: Html


def several(count: int, what: str) -> str:
    """ "1 file", "2 files", "2 files of data"."""
    noun, *rest = what.split(" ", 1)
    return " ".join((str(count), noun if count == 1 else f"{noun}s", *rest))


def counted(*counts: tuple[int, str]) -> str:
    """ "1 key of params.yaml, 2 jobs": what there is at all."""
    return ", ".join(several(count, what) for count, what in counts if count)


def folded(label: str, entries: Sequence[str]) -> Html:
    """Names below each other, in a fold."""
    return fold(label, join((tag("code", name) for name in entries), "<br>"))


def names(entries: Sequence[str], what: str) -> Html:
    """A few names as they are, many in a fold."""
    if len(entries) > FEW:
        return folded(several(len(entries), what), entries)
    return join((tag("code", name) for name in entries), "<br>")


def value(text: str | None) -> Html:
    """A value, or the word for one that a version does not have."""
    return ABSENT if text is None else tag("code", text)


def short(sha256: str | None) -> Html:
    """A hash by its first digits; the whole of it shows under the pointer."""
    return ABSENT if sha256 is None else tag("code", sha256[:HASH], title=sha256)


def listing(title: str, head: str, changes: Sequence[Change], cell=value) -> Html:
    """A table of changes below its title, with their jobs where they have any; nothing where none are."""
    if not changes:
        return Html()
    with_jobs = any(change.where for change in changes)
    rows = [
        (tag("code", change.key), cell(change.a), cell(change.b))
        + ((names(change.where, "job"),) if with_jobs else ())
        for change in changes
    ]
    heads = (head, "A", "B", *(["jobs"] if with_jobs else []))
    shown = table(heads, rows)
    return tag("h3", title) + (shown if len(rows) <= MANY else fold(f"{len(rows)} lines", shown))
