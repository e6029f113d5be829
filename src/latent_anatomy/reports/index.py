"""reports/index.html: every study on one page: its verdicts, what ran, what did not and why, its report.

One file without a script, which needs nothing from elsewhere. What ran is as the collection's jobs say,
verdicts are as the ledgers have them, of real data and of phantoms apart.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from latent_anatomy.imaging import gate
from latent_anatomy.jobs.job import read_job
from latent_anatomy.ledger import papers as printed
from latent_anatomy.ledger import table as ledger_table
from latent_anatomy.ledger.table import VERDICTS, Row
from latent_anatomy.provenance import formats, verify
from latent_anatomy.provenance.files import write_text
from latent_anatomy.provenance.lock import making
from latent_anatomy.provenance.passport import passport, sealed
from latent_anatomy.reports import markup
from latent_anatomy.reports.display import of_phantoms
from latent_anatomy.reports.markup import Html, join, tag

NOT_RUN, PHANTOM = "not run", "phantom"  # verdicts
PHANTOMS = (
    "This collection is drawn by the project itself, and its trainings are short. It shows that the pipeline "
    "works, and says nothing about patients; phantoms have no verdicts."
)


@making("out")
def write(
    params: Path,
    ledgers: Sequence[Path],
    papers: Sequence[Path],
    tables: Sequence[Path],
    reports: Sequence[Path],
    out: Path,
) -> None:
    """Write the page of the job `params`, of `ledgers`, `papers` and `tables` of the gate, with a passport.

    `reports` are those that it leads to, which lie beside it. Raises ValueError for a damaged file, and as
    `read_job`.
    """
    job = read_job(params, "report")
    inputs = {path.as_posix(): path for path in (*ledgers, *papers, *tables)}
    with verify.still(inputs.values()):
        proof = passport(inputs=inputs, job=job)
        for path in inputs.values():
            verify.proven(path)
        rows = [row for path in ledgers for row in ledger_table.read(path)]
        of_papers = {paper.study: paper for paper in map(printed.load, papers)}
        heads = {path.parent.name: gate.read(path)[0] for path in tables}
    names, data = {path.stem for path in reports}, tag("code", job["data"])
    parts = [of_phantoms(PHANTOMS)] if job["phantom"] else []
    parts += [tag("p", join(["What the collection ", data, " of params.yaml makes."])), _heads(heads, names)]
    for study, runs in _compared(job["compared"]).items():
        made = _made(study, job["results"])
        paper, own = of_papers.get(study), [row for row in rows if row.study == study]
        lines = [tag("p", f"{paper.title}. {paper.authors}: {paper.published}", "quiet")] if paper else []
        lines += [*_verdicts(own), _ran(made, data), *_left_out(runs, made, data), *_absent(own)]
        parts.append(markup.section(study, _linked(study, study, names), *lines))
    page = markup.page("Latent Anatomy: all studies", *parts)
    write_text(out, formats.html_with_passport(page, sealed(proof, content=formats.of_html(page))))


def _compared(names: Iterable[str]) -> dict[str, list[str]]:
    """Study -> its runs, of names <study>/<run>."""
    runs: dict[str, list[str]] = {}
    for study, run in (name.split("/") for name in names):
        runs.setdefault(study, []).append(run)
    return runs


def _made(study: str, results: Iterable[str]) -> dict[str, Counter]:
    """Data set or cohort -> run -> number of trainings, of results <study>/<data set>/<run>/<replicate>."""
    made: dict[str, Counter] = {}
    for name, dataset, run, _ in (result.split("/") for result in results):
        if name == study:
            made.setdefault(dataset, Counter())[run] += 1
    return made


def _verdicts(rows: list[Row]) -> Iterator[Html]:
    """How many rows of the ledgers have each verdict."""
    counts = Counter(row.verdict for row in rows)
    real = [f"{counts[name]} {name}" for name in VERDICTS if counts[name] and name != PHANTOM]
    if real:
        yield _said("Printed beside ours, on real data", "; ".join(real))
    if counts[PHANTOM]:
        yield _said("Measured on phantoms", _several(counts[PHANTOM], "row"))


def _ran(made: Mapping[str, Counter], data: Html) -> Html:
    """How many runs and trainings each data set or cohort has."""
    places = []
    for name, runs in made.items():
        trainings = f", {_several(runs.total(), 'training')}"
        places.append(join([_several(len(runs), "run"), " on ", tag("code", name), trainings]))
    nothing = join(["nothing, as the collection ", data, " takes nothing of it"])
    return _said("Ran", join(places, "; ") if places else nothing)


def _left_out(runs: Iterable[str], made: Mapping[str, Counter], data: Html) -> Iterator[Html]:
    """One sentence on those runs of a study that are made on none of its data sets."""
    absent = [tag("code", run) for run in runs if not any(run in own for own in made.values())]
    if absent and made:
        why = join([join(absent, ", "), ", as the collection ", data, " leaves them out"])
        yield _said("Did not run", why)


def _absent(rows: list[Row]) -> Iterator[Html]:
    """One sentence on the printed numbers and claims that nothing of ours stands beside."""
    reasons = Counter(row.reason for row in rows if row.verdict == NOT_RUN)
    if reasons:
        (why, count), *others = sorted(reasons.items(), key=lambda each: (-each[1], each[0]))
        more = f"; the others for {_several(len(others), 'more reason')}" if others else ""
        yield _said("Not measured", f"{_several(reasons.total(), 'row')}, of which {count}: {why}{more}")


def _heads(tables: Mapping[str, Sequence[gate.Verdict]], names: set[str]) -> Html:
    """How many heads of each data set of volumes passed the gate."""
    if not tables:
        return Html()
    lines = []
    for dataset, verdicts in tables.items():
        passed = sum(verdict.passed for verdict in verdicts)
        lines.append(_said(dataset, f"{passed} of {_several(len(verdicts), 'head')} passed the gate"))
    return markup.section("qc", _linked("qc", "Imaging: every step of every head", names), *lines)


def _linked(name: str, title: str, names: set[str]) -> Html:
    """The title, with the way to a report that is there."""
    return tag("a", title, href=f"{name}.html") if name in names else markup.text(title)


def _said(what: str, said: object) -> Html:
    return tag("p", join([tag("b", f"{what}: "), said, "."]))


def _several(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
