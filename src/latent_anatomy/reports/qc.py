"""Tables, figures and pictures of the imaging steps, for notebooks/qc.ipynb; docs/qc.md."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from latent_anatomy.data.slices import defect
from latent_anatomy.imaging import gate
from latent_anatomy.imaging.gate import Verdict
from latent_anatomy.reports import tables
from latent_anatomy.reports.figures import COLOURS, PANEL
from latent_anatomy.reports.markup import Html, image, join, tag

STEPS = ("bias", "coregister", "register", "strip", "normalise")  # others follow, by name
PASSED, FAILED = COLOURS[0], COLOURS[1]
COLUMNS = 4  # of a figure's panels
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Cohort:
    """A data set: verdicts from the worst to the best, and subject -> measure -> number, step -> picture."""

    dataset: str
    verdicts: list[Verdict]
    rows: dict[str, dict[str, float]]
    pictures: dict[str, dict[str, Path]]

    @property
    def measures(self) -> list[str]:
        """Those of any subject, in the order of the steps."""
        names = {measure for row in self.rows.values() for measure in row}
        return sorted(names, key=lambda name: (_position(name.split("/")[0]), name))


def load(qc_files: Iterable[str | Path], picture_files: Iterable[str | Path]) -> list[Cohort]:
    """A cohort for each results/imaging/<dataset>/qc.csv, with its pictures, which are
    data/interim/<dataset>/<subject>/<step>/picture.png.

    Raises ValueError when a data set has two tables, or a picture's data set or subject none.
    """
    pictures: dict[str, dict[str, dict[str, Path]]] = {}
    for path in sorted(map(Path, picture_files), key=lambda path: _position(path.parts[-2])):
        dataset, subject, step = path.parts[-4:-1]
        pictures.setdefault(dataset, {}).setdefault(subject, {})[step] = path
    cohorts: dict[str, Cohort] = {}
    for path in map(Path, qc_files):
        dataset = path.parts[-2]
        if dataset in cohorts:
            raise defect(path, f"one table of {dataset}", "a second", "give each once")
        verdicts, rows = gate.read(path)
        shown = pictures.pop(dataset, {})
        if unknown := sorted(shown.keys() - rows.keys()):
            raise defect(path, "everybody who has pictures", f"none of {unknown}", "run the gate again")
        cohorts[dataset] = Cohort(dataset, sorted(verdicts, key=_badness), rows, shown)
    if pictures:
        raise defect("pictures", "a table of each data set", f"none of {sorted(pictures)}", "give its qc.csv")
    return list(cohorts.values())


def table(cohort: Cohort) -> Html:
    """Every subject with its verdict and its numbers as HTML, the worst first."""
    head = ["subject", "passed", "score", *(name.replace("/", " / ") for name in cohort.measures)]
    lines = []
    for verdict in cohort.verdicts:
        row = cohort.rows[verdict.subject]
        numbers = [f"{row[name]:.4g}" if name in row else "" for name in cohort.measures]
        lines.append([verdict.subject, gate.ANSWERS[verdict.passed], _score(verdict), *numbers])
    return tables.plain(head, lines)


def failures(cohort: Cohort) -> Html:
    """Who was left out and why as HTML; empty if nobody was."""
    lines = [[verdict.subject, verdict.reason] for verdict in cohort.verdicts if not verdict.passed]
    return tables.plain(["left out", "reason"], lines) if lines else Html()


def distributions(cohort: Cohort) -> Figure:
    """One panel for each measure: its values in rising order, those who failed marked with their names.

    The line is the median of those who passed. Raises ValueError for a cohort without a finite number.
    """
    passed = {verdict.subject: verdict.passed for verdict in cohort.verdicts}
    panels = {}
    for measure in cohort.measures:
        values = {subject: row[measure] for subject, row in cohort.rows.items() if measure in row}
        finite = [item for item in values.items() if np.isfinite(item[1])]
        if finite:
            panels[measure] = sorted(finite, key=lambda item: item[1])
    if not panels:
        raise defect(cohort.dataset, "a subject with numbers", "none", "run the imaging steps")
    ncols = min(COLUMNS, len(panels))
    nrows = -(-len(panels) // ncols)
    figure = Figure(figsize=(1.25 * PANEL * ncols, PANEL * nrows + 0.4), layout="constrained")
    axes = figure.subplots(nrows, ncols, squeeze=False)
    for panel in axes.flat[len(panels) :]:
        panel.set_axis_off()
    for panel, (measure, ranked) in zip(axes.flat, panels.items(), strict=False):
        panel.set_title(measure, fontsize=8)
        panel.set_xticks([])
        panel.tick_params(labelsize=7)
        panel.ticklabel_format(useOffset=False)
        colours = [PASSED if passed[subject] else FAILED for subject, _ in ranked]
        panel.scatter(range(len(ranked)), [value for _, value in ranked], s=12, c=colours, zorder=2)
        sound = [value for subject, value in ranked if passed[subject]]
        if sound:
            panel.axhline(np.median(sound), lw=0.8, color="#999999", zorder=1)
        for place, (subject, value) in enumerate(ranked):
            if not passed[subject]:
                high = 2 * value > ranked[0][1] + ranked[-1][1]  # names run away from the frame
                offset, side = ((0, -5), "top") if high else ((0, 5), "bottom")
                panel.annotate(
                    subject,
                    (place, value),
                    offset,
                    textcoords="offset points",
                    fontsize=7,
                    rotation=90,
                    ha="center",
                    va=side,
                )
    for label, colour in (("passed", PASSED), ("left out", FAILED)):
        axes[0, 0].scatter([], [], s=12, c=colour, label=label)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    return figure


def gallery(cohort: Cohort) -> Iterator[Html]:
    """Each subject with the pictures of its steps as HTML that needs no other file, the worst first.

    Raises ValueError for a picture that is no PNG.
    """
    for verdict in cohort.verdicts:
        state = "passed" if verdict.passed else "left out"
        score = f", score {_score(verdict)}" if verdict.score is not None else ""
        pictures = cohort.pictures.get(verdict.subject, {})
        parts = [_figure(step, path) for step, path in pictures.items()]
        said = [tag("h4", f"{verdict.subject}: {state}{score}"), tag("p", verdict.reason)]
        yield join(said + (parts or [tag("p", "No pictures at hand.")]))


def _figure(step: str, path: Path) -> Html:
    picture = path.read_bytes()
    if not picture.startswith(PNG):
        raise defect(path, "a PNG", "another file", "run the step again")
    content = tag("figcaption", step) + image(picture, step, style="max-width:100%")
    return tag("figure", content, style="margin:0 0 8px")


def _badness(verdict: Verdict) -> tuple[bool, bool, float, str]:
    """Failed before passed, outright before by score, high scores before low ones."""
    unscored = verdict.score is None
    return verdict.passed, not unscored, 0 if unscored else -verdict.score, verdict.subject


def _score(verdict: Verdict) -> str:
    return "" if verdict.score is None else f"{verdict.score:.1f}"


def _position(step: str) -> tuple[int, str]:
    return (STEPS.index(step) if step in STEPS else len(STEPS), step)
