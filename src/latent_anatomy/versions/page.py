"""The page that shows two versions: what was chosen, what it ran on, and what came out."""

from pathlib import Path

from latent_anatomy.provenance.files import write_text
from latent_anatomy.provenance.lock import alone
from latent_anatomy.reports import markup
from latent_anatomy.reports.markup import Html, fold, join, tag
from latent_anatomy.versions import made_by, measured, read
from latent_anatomy.versions.contents import Content, gather
from latent_anatomy.versions.sections import Part, several


def write(a: str, b: str, out: Path, folder: Path) -> None:
    """Write the page about the versions that `a` and `b` name in the checkout around `folder`.

    Same versions, same bytes. Raises ValueError for a name that git does not know and for damaged files.
    """
    with alone(out):
        first, second = (gather(read.load(name, folder)) for name in (a, b))
        write_text(out, render(first, second))


def render(a: Content, b: Content) -> str:
    """The page as HTML that needs no other file."""
    parts = [
        made_by.parameters(a, b),
        made_by.data(a, b),
        made_by.code(a, b),
        made_by.environment(a, b),
        measured.subjects(a, b),
        measured.ledgers(a, b),
        measured.metrics(a, b),
        measured.pictures(a, b),
        _not_here(a, b),
    ]
    title = f"{a.version.name} and {b.version.name} side by side"
    sections = [markup.section(part.name, part.title, part.body) for part in parts]
    return markup.page(title, _versions(a, b), _overview(parts), *sections)


def _versions(a: Content, b: Content) -> Html:
    cards = []
    for letter, version in (("A", a.version), ("B", b.version)):
        lines = [
            tag("div", join([letter, ": ", tag("b", version.name)]), letter.lower()),
            tag("div", tag("code", version.commit)),
            tag("div", version.subject),
        ]
        if version.name == read.WORKSPACE:
            count = several(len(version.uncommitted), "change")
            state = tag("pre", "\n".join(version.uncommitted))
            lines.append(
                fold(f"the working tree: {count} on top of this commit", state)
                if version.uncommitted
                else tag("div", "the working tree: as this commit", "quiet")
            )
        cards.append(tag("div", join(lines), "card"))
    return tag("div", join(cards), "versions")


def _overview(parts: list[Part]) -> Html:
    """One line for each part, and a sentence where there is nothing to see."""
    rows = [
        (markup.link(part.name, part.title), tag("span", part.says, "" if part.differs else "quiet"))
        for part in parts
    ]
    content = [markup.table(("part", "what differs"), rows)]
    if not any(part.differs for part in parts):
        content.insert(0, tag("p", tag("b", "Nothing differs in what is here.")))
    return markup.section("overview", "At a glance", *content)


def _not_here(a: Content, b: Content) -> Part:
    """Files that a version knows of and that are neither in git nor in the cache."""
    content = []
    for letter, side in (("A", a), ("B", b)):
        if side.not_here:
            rows = [(tag("code", path), how) for path, how in sorted(side.not_here.items())]
            summary = f"{letter}: {several(len(rows), 'file')} not here"
            content.append(fold(summary, markup.table(("file", "how to get it"), rows)))
    total = len(a.not_here) + len(b.not_here)
    says = f"{several(total, 'file')} not compared" if total else "everything is here"
    body = join(content) or tag("p", "Everything that the two versions know of is here.", "quiet")
    return Part("not-here", "Not here", says, differs=False, body=body)
