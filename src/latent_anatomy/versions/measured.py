"""What came out of two versions: verdicts, metrics and pictures."""

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.pipeline.layout import LEDGERS, PASSPORT
from latent_anatomy.reports.markup import Html, fold, image, join, table, tag
from latent_anatomy.reports.pictures import strip
from latent_anatomy.reports.tables import SHADES
from latent_anatomy.versions import differences
from latent_anatomy.versions.contents import Content, Run, figures
from latent_anatomy.versions.differences import Metric, RunMetrics
from latent_anatomy.versions.pictures import Gallery, Pair, compare
from latent_anatomy.versions.read import NotHere
from latent_anatomy.versions.sections import MANY, NO_DIFFERENCE, Part, counted, folded, listing, several

PLACE = ("study", "table", "dataset", "method", "metric")


def ledgers(a: Content, b: Content) -> Part:
    """Verdicts that changed, rows that appeared or went, rows with other numbers."""
    body, verdicts, rows = Html(), 0, 0
    for path in LEDGERS:
        body += tag("h3", path)
        missing = [letter for letter, side in (("A", a), ("B", b)) if path not in side.ledgers]
        if missing:
            body += tag("p", f"Not compared: not here in {' and '.join(missing)}.", "quiet")
            continue
        changes = differences.ledger(a.ledgers[path], b.ledgers[path])
        verdicts += len(changes.verdicts)
        rows += len(changes.others) + len(changes.appeared) + len(changes.gone)
        body += _ledger(changes) or tag("p", "No difference.", "quiet")
    says = counted((verdicts, "verdict changed"), (rows, "row otherwise"))
    differs = bool(verdicts or rows)
    return Part("ledger", "Ledger", says if differs else NO_DIFFERENCE, differs, body)


def _ledger(changes: differences.LedgerChanges) -> Html:
    both = ("A", "B", "ours, A", "ours, B", "reason, B")
    content = []
    if changes.verdicts:
        content.append(table((*PLACE, *both), [_two(*pair) for pair in changes.verdicts]))
    for what, rows in (("only B has", changes.appeared), ("only A has", changes.gone)):
        if rows:
            lines = [(*_place(row), _verdict(row), row.get("ours_mean", "")) for row in rows]
            content.append(
                fold(f"{several(len(rows), 'row')} that {what}", table((*PLACE, "verdict", "ours"), lines))
            )
    if changes.others:
        what = f"{several(len(changes.others), 'row')} with the same verdict and another number or reason"
        content.append(fold(what, table((*PLACE, *both), [_two(*pair) for pair in changes.others])))
    return join(content)


def _place(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(row[column] for column in PLACE)


def _two(a: dict[str, str], b: dict[str, str]) -> tuple:
    ours = (a.get("ours_mean", ""), b.get("ours_mean", ""))
    return (*_place(b), _verdict(a), _verdict(b), *ours, b.get("reason", ""))


def _verdict(row: dict[str, str]) -> Html:
    shade = SHADES.get(row["verdict"], "#ffffff")
    return tag("span", row["verdict"], "verdict", style=f"background:{shade}")


def subjects(a: Content, b: Content) -> Part:
    """Who of the volumes passed the gate in one version and not in the other, and other numbers of theirs."""
    verdicts = differences.changes(differences.verdicts(a), differences.verdicts(b))
    numbers = differences.changes(differences.qualities(a), differences.qualities(b))
    body = listing("Who passed the gate", "subject", verdicts)
    if numbers:
        body += fold(
            several(len(numbers), "number of subjects"),
            listing("By what they were judged", "measure", numbers),
        )
    says = counted((len(verdicts), "verdict on subjects"), (len(numbers), "number of subjects"))
    quiet = tag("p", "No difference.", "quiet")
    return Part("subjects", "Subjects of volumes", says or NO_DIFFERENCE, bool(says), body or quiet)


def metrics(a: Content, b: Content) -> Part:
    """Every metric of every run that both have, largest difference first."""
    compared = differences.metrics(a, b)
    changed, total = sum(len(each.changed) for each in compared), sum(map(_count, compared))
    lone = sum(len(each.only_a) + len(each.only_b) for each in compared)
    body = tag("p", "Differences are B − A, intervals 95 % t intervals of them, paired by seed.", "quiet")
    first = next((each for each in compared if each.changed), None)
    body += join(_run(each, opened=each is first) for each in compared)
    results = 0
    for letter, x, y in (("A", a, b), ("B", b, a)):
        only, unknown = _only(x, y)
        results += len(only)
        if only:
            body += folded(f"{several(len(only), 'result')} that only {letter} has", only)
        if unknown:
            what = f"{several(len(unknown), 'result')} of {letter}: not compared, the other's are not here"
            body += folded(what, unknown)
    alone = counted((lone, "metric in one version alone"), (results, "result in one version alone"))
    differing = f"{changed} of {several(total, 'metric')} differ" if changed else ""
    equal = f"none of {several(total, 'metric')} differs: the same bits" if total else "nothing to compare"
    says = ", ".join(filter(None, (differing, alone)))
    return Part("metrics", "Metrics", says or equal, bool(says), body)


def _count(compared: RunMetrics) -> int:
    return len(compared.changed) + len(compared.same)


def _only(x: Content, y: Content) -> tuple[list[str], list[str]]:
    """Results that only x has, and those that y knows of too but that are not here."""
    only, unknown = [], []
    for run, seeds in x.results.items():
        for seed, result in seeds.items():
            if seed not in y.results.get(run, {}):
                folder = PurePosixPath(result.arrays).parent
                files = {str(folder / name) for name in ("metrics.json", PASSPORT)}
                (unknown if files & y.not_here.keys() else only).append(_label(run, seed))
    return sorted(only), sorted(unknown)


def _label(run: Run, seed: int | None = None) -> str:
    return " · ".join((*run, *([] if seed is None else [f"seed {seed}"])))


def _run(compared: RunMetrics, opened: bool) -> Html:
    content = []
    if compared.changed:
        content.append(_table(compared.changed, means=len(compared.seeds) > 1))
        if len(compared.seeds) > 1:
            content += [
                fold(f"seed {seed}", _table(rows, means=False)) for seed, rows in compared.seeds.items()
            ]
        summary = f"{len(compared.changed)} of {several(_count(compared), 'metric')} differ"
    else:
        summary = f"all {several(_count(compared), 'metric')} are exactly equal"
    if compared.same:
        equal = f"{several(len(compared.same), 'metric')} with a difference of exactly 0, the same bits"
        content.append(folded(equal, compared.same))
    for letter, only in (("A", compared.only_a), ("B", compared.only_b)):
        if only:
            what = "with every seed" if len(compared.seeds) > 1 else "at all"
            content.append(
                folded(f"{several(len(only), f'metric of {letter}')} that the other has not {what}", only)
            )
    seeds = ", ".join(f"seed {seed}" for seed in compared.seeds if seed is not None)
    label = " · ".join(filter(None, (_label(compared.run), seeds)))
    return fold(f"{label}: {summary}", *content, opened=opened)


def _table(rows: Sequence[Metric], means: bool) -> Html:
    """Six digits of values and four of differences, so that the smallest one still shows."""
    head = ("metric", "A", "B", "B − A", *(["95 % interval"] if means else []))
    lines = []
    for row in rows:
        line = [tag("code", row.name), f"{row.a:.6g}", f"{row.b:.6g}", f"{row.difference:+.4g}"]
        lines.append(line + ([f"[{row.low:+.4g}, {row.high:+.4g}]"] if means else []))
    numbers = range(1, len(head))
    rest = lines[MANY:]
    more = fold(f"{len(rest)} with smaller differences", table(head, rest, numbers)) if rest else Html()
    return table(head, lines[:MANY], numbers) + more


def pictures(a: Content, b: Content) -> Part:
    """The test images under both, of the first seed that both have, where both have the arrays."""
    body, differing, shown, absent = Html(), 0, 0, []
    for run in sorted(a.results.keys() & b.results.keys()):
        seeds = sorted(seed for seed in a.results[run].keys() & b.results[run].keys() if seed is not None)
        if not seeds:
            continue
        try:
            sides = [figures(each.version, each.results[run][seeds[0]].arrays) for each in (a, b)]
        except NotHere:
            absent.append(_label(run, seeds[0]))
            continue
        gallery = compare(*sides)
        count = sum(len(pairs) for _, pairs in gallery.conditions.values())
        differing, shown = differing + count, shown + count + len(gallery.same)
        body += _gallery(_label(run, seeds[0]), gallery, opened=bool(count) and differing == count)
    if absent:
        body += folded(f"{several(len(absent), 'run')} whose pictures are not here", absent)
    equal = (
        f"none of {several(shown, 'strip of pictures')} differs: the same bits"
        if shown
        else "nothing to compare"
    )
    says = f"{differing} of {several(shown, 'strip of pictures')} differ" if differing else equal
    return Part("pictures", "The same test images", says, bool(differing), body or tag("p", equal, "quiet"))


def _gallery(label: str, gallery: Gallery, opened: bool) -> Html:
    if not (gallery.conditions or gallery.same or gallery.left_out):
        return Html()
    blocks = {name: _condition(name, *content) for name, content in gallery.conditions.items()}
    content = [blocks.pop("clean", Html())]
    if blocks:
        corrupted = tag("div", join(blocks.values()), "galleries")
        content.append(fold(f"{several(len(blocks), 'corruption')} of the input", corrupted))
    if gallery.same:
        content.append(folded(f"{len(gallery.same)} that are the same bits in both", gallery.same))
    if gallery.left_out:
        rows = [(tag("code", name), reason) for name, reason in gallery.left_out.items()]
        content.append(fold(f"{len(gallery.left_out)} not compared", table(("pictures", "why"), rows)))
    count = sum(len(pairs) for _, pairs in gallery.conditions.values())
    total = count + len(gallery.same)
    return fold(f"{label}: {count} of {several(total, 'strip of pictures')} differ", *content, opened=opened)


def _condition(name: str, shown: NDArray[np.uint8], pairs: Sequence[Pair]) -> Html:
    """Rows of pictures: the input, then for each branch A, B and how far they are apart."""
    rows = [("original" if name == "clean" else "input", shown)]
    for pair in pairs:
        rows += [
            (f"{pair.branch}, A", pair.a),
            (f"{pair.branch}, B", pair.b),
            (f"|A − B| × {pair.gain}", pair.difference),
        ]
    lines = [
        tag("tr", tag("td", label, "quiet") + tag("td", image(strip(images), f"{name}: {label}")))
        for label, images in rows
    ]
    return tag("div", tag("h3", name) + tag("table", join(lines), "strips"))
