"""The notebook of the imaging steps shows everybody on made-up inputs, and refuses what does not fit."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import reporting
from PIL import Image
from reporting import figures, shown_by, texts

from latent_anatomy.imaging import gate
from latent_anatomy.reports import qc

NOTEBOOK = reporting.notebook("qc")
STEPS = ("strip", "register")


def picture(shade: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((4, 6), shade, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def make(root: Path, dataset: str = "phantom-brain", count: int = 10) -> dict:
    """A cohort in which s1 has an empty brain, s2 a poor registration and s3 was excluded; the parameters."""
    numbers, pictures = [], []
    for index in range(count):
        contents = {
            "register": {
                "similarity_before": 1.05,
                "similarity_after": 1.06 if index == 2 else 1.2 + 0.001 * index,
            },
            "strip": {"brain_ml": 0.0 if index == 1 else 1400.0 + 10 * index},
        }
        for step in STEPS:
            folder = root / "data" / "interim" / dataset / f"s{index}" / step
            folder.mkdir(parents=True)
            (folder / "numbers.json").write_text(json.dumps(contents[step]))
            (folder / "picture.png").write_bytes(picture(index))
            numbers.append(folder / "numbers.json")
            pictures.append(folder / "picture.png")
    table = root / "results" / "imaging" / dataset / "qc.csv"
    rows = gate.collect(numbers)
    gate.write(table, gate.judge(rows, gate.Params(), {"s3": "a <b>tumour</b>", "s99": "unreadable"}), rows)
    return {
        "qc_files": [str(table)],
        "picture_files": [str(path) for path in pictures],
    }


def merged(*given: dict) -> dict:
    return {name: [item for each in given for item in each[name]] for name in given[0]}


def test_the_stored_notebook_has_no_outputs_and_one_cell_of_parameters():
    reporting.assert_stored_clean(NOTEBOOK)


def test_it_shows_every_subject_with_every_picture(tmp_path, monkeypatch):
    given = merged(make(tmp_path), make(tmp_path, "real", count=3))
    shown = shown_by(NOTEBOOK, given, tmp_path, monkeypatch)
    text = texts(shown)
    assert "<b>Phantoms.</b>" in text and "The heads of phantom-brain are" in text
    assert text.count("data:image/png;base64") == 2 * (10 + 3)
    assert figures(shown) == 2  # the distributions of each data set
    assert "strip/brain_ml 0 is below 500" in text
    assert "register/similarity_after 1.06, where the median is 1.2" in text
    assert "a &lt;b&gt;tumour" in text and "<b>tumour" not in text
    assert "not scored" in text


def test_the_worst_stand_first_and_steps_in_their_order(tmp_path):
    [cohort] = qc.load(**make(tmp_path))
    names = [verdict.subject for verdict in cohort.verdicts]
    assert names[:4] == ["s1", "s3", "s99", "s2"]  # outright, then by score
    scores = [verdict.score for verdict in cohort.verdicts[3:]]
    assert scores == sorted(scores, reverse=True)
    assert cohort.measures == ["register/similarity_after", "register/similarity_before", "strip/brain_ml"]
    first = next(qc.gallery(cohort))
    assert first.index('alt="register"') < first.index('alt="strip"')
    assert qc.table(cohort).index("s2<") < qc.table(cohort).index("s5<")
    assert "s2" in qc.failures(cohort) and "s5" not in qc.failures(cohort)


def test_the_figure_has_a_panel_for_each_measure_with_the_failed_named(tmp_path):
    [cohort] = qc.load(**make(tmp_path))
    panels = [panel for panel in qc.distributions(cohort).axes if panel.get_title()]
    assert [panel.get_title() for panel in panels] == cohort.measures
    for panel in panels:
        assert {text.get_text() for text in panel.texts} == {"s1", "s2", "s3"}
        [points, *_] = panel.collections
        assert len(points.get_offsets()) == 10


@pytest.mark.parametrize("defect", ["no table", "a second table", "unknown subject", "no PNG"])
def test_what_does_not_fit_together_is_refused(tmp_path, defect):
    given = make(tmp_path)
    if defect == "no table":
        given["qc_files"] = []
    elif defect == "a second table":
        given["qc_files"] *= 2
    elif defect == "unknown subject":
        given["picture_files"].append("data/interim/phantom-brain/s77/strip/picture.png")
    else:
        Path(given["picture_files"][0]).write_text("<svg>")
    with pytest.raises(ValueError, match="expected"):
        list(qc.gallery(*qc.load(**given)))
