"""An audit as text and as JSON."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import PurePosixPath

from latent_anatomy.audit.ledgers import name
from latent_anatomy.audit.links import Link, State
from latent_anatomy.audit.prove import Audit
from latent_anatomy.provenance.files import canonical_json

SHORT = 12  # digits of a hash
STEPS = "data/interim/"
ONE_BY_ONE = 20  # numbers that are listed one by one; of more, how many came out how


def text(audit: Audit, words: bool) -> str:
    """The chosen numbers, then every artefact behind them with its state, what to do, and what it came to.

    With `words`, that is for chosen numbers, every link is printed; else only those that do not hold.
    """
    remedies: dict[str, int] = {}
    artefacts = list(_artefacts(audit, words, remedies))
    return "\n".join([*_numbers(audit), *artefacts, *_to_do(remedies), *_changes(audit), *_verdict(audit)])


def _numbers(audit: Audit) -> Iterator[str]:
    if len(audit.numbers) > ONE_BY_ONE:
        return
    for number in audit.numbers:
        yield f"{name(number.row)}: {number.row.ours_mean or number.row.verdict}, {audit.of(number).upper()}"
        if number.shown.state is not State.HOLDS:
            yield f"  {number.shown.path}: {number.shown.said}"
    yield ""


def _artefacts(audit: Audit, every: bool, remedies: dict[str, int]) -> Iterator[str]:
    """The steps of imaging that hold as one line for each data set, however many subjects it has.

    Each remedy is counted, to be said once behind them all.
    """
    held = {path for path, state in audit.states.items() if path.startswith(STEPS) and state is State.HOLDS}
    folders = Counter(PurePosixPath(path).parents[2] for path in held)
    for path, links in audit.links.items():
        if path in held:
            folder = PurePosixPath(path).parents[2]
            if count := folders.pop(folder, 0):
                yield f"{State.HOLDS:<9} {folder}: {count} steps of its subjects"
            continue
        sha256 = f"  sha256 {audit.hashes[path][:SHORT]}" if every and path in audit.hashes else ""
        yield f"{audit.states[path]:<9} {path}{sha256}"
        for link in links:
            if every or link.state is not State.HOLDS:
                of = "" if link.path == path else f"{link.path}: "
                state = "" if link.state is State.HOLDS else f", {link.state.upper()}"
                if link.remedy:
                    remedies[link.remedy] = remedies.get(link.remedy, 0) + 1
                yield f"            {link.check}{state}: {of}{link.said}"


def _to_do(remedies: dict[str, int]) -> Iterator[str]:
    """Each remedy once; of commands that differ in their files alone, one command with all the files."""
    together: dict[str, list[str]] = {}
    for remedy in remedies:
        command, _, target = remedy.partition(" -- ") if remedy.startswith("snakemake ") else (remedy, "", "")
        together.setdefault(command, []).extend(target.split())
    if together:
        yield from ("", "to do, where it applies:")
    for command, targets in together.items():
        yield f"  {command}" + (f" -- {' '.join(dict.fromkeys(targets))}" if targets else "")


def _changes(audit: Audit) -> Iterator[str]:
    """What was edited of what had been committed: each a commit's word, which the audit cannot judge."""
    if audit.changes:
        yield from ("", f"edited after it was committed, by {len(audit.changes)} commits:")
    for change in audit.changes:
        count = f" and {len(change.files) - 1} more" if len(change.files) > 1 else ""
        yield f"  {change.commit} {change.subject} ({change.files[0]}{count})"


def _verdict(audit: Audit) -> Iterator[str]:
    counts = Counter(audit.of(number) for number in audit.numbers)
    broken = [link for links in audit.links.values() for link in links if link.state is State.BROKEN]
    yield ""
    named = {state: "proven" if state is State.HOLDS else state for state in State}
    yield "numbers: " + (
        ", ".join(f"{counts[each]} {named[each]}" for each in State if counts[each]) or "none"
    )
    yield f"broken links: {len(broken)}"


def _written(link: Link) -> dict:
    return asdict(link) | {"message": link.message}


def json(audit: Audit) -> str:
    """Everything that the audit found, as canonical JSON."""
    return canonical_json(
        {
            "state": audit.state,
            "numbers": [
                {
                    **{
                        key: getattr(number.row, key)
                        for key in ("study", "table", "dataset", "method", "metric")
                    },
                    "ours": number.row.ours_mean,
                    "state": audit.of(number),
                    "shown": _written(number.shown),
                    "chain": list(number.chain),
                }
                for number in audit.numbers
            ],
            "artefacts": {
                path: {
                    "state": audit.states[path],
                    "sha256": audit.hashes.get(path),
                    "links": [_written(link) for link in links],
                }
                for path, links in audit.links.items()
            },
            "changes": [asdict(change) for change in audit.changes],
        }
    )
