"""The page that leads to all reports: what it says is what there is, and it needs nothing from elsewhere."""

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from tiny_project import PAGE, PAPERS, STUDIES, parameters

from latent_anatomy.imaging import gate
from latent_anatomy.jobs.report import with_way_back
from latent_anatomy.ledger import table
from latent_anatomy.pipeline import job_files, params, reports
from latent_anatomy.provenance import formats
from latent_anatomy.reports import index

LEDGER = ROOT / "results/ledger.csv"
JOB = Path(".params/report/index.json")


class Elements(HTMLParser):
    """Tags with their attributes, and the text of each section by its id."""

    def __init__(self, page: str):
        super().__init__()
        self.tags, self.texts, self.here = [], Counter(), ""
        self.feed(page)

    def handle_starttag(self, name, attributes):
        self.tags.append((name, dict(attributes)))
        self.here = dict(attributes).get("id", self.here) if name == "section" else self.here

    def handle_data(self, text):
        self.texts[self.here] = (self.texts[self.here] or "") + text

    def all(self, name: str) -> list[dict]:
        return [attributes for tag, attributes in self.tags if tag == name]


def made(content: dict, monkeypatch, folder: Path, shown: tuple[str, ...] = (), **given) -> str:
    """The page of params.yaml with this content, in `folder`."""
    monkeypatch.chdir(folder)
    job_files.write(params.validate(content))
    papers = [ROOT / paper for paper in PAPERS]
    for path in papers:
        (folder / "papers").mkdir(exist_ok=True)
        (folder / "papers" / path.name).write_bytes(path.read_bytes())
    given = {"ledgers": [], "tables": [], "papers": [Path("papers", path.name) for path in papers]} | given
    index.write(JOB, **given, reports=[Path(f"reports/{name}.html") for name in shown], out=PAGE)
    return PAGE.read_text(encoding="utf-8")


@pytest.fixture
def page(monkeypatch, tmp_path) -> Elements:
    """Of the tiny project, with the committed ledger of real data."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results/ledger.csv").write_bytes(LEDGER.read_bytes())
    ledgers = [Path("results/ledger.csv")]
    return Elements(made(parameters(), monkeypatch, tmp_path, ("unoranic", "qc"), ledgers=ledgers))


@pytest.mark.parametrize("study", [Path(paper).stem for paper in PAPERS])
def test_a_study_s_verdicts_are_counted_as_the_ledger_has_them(page, study):
    counts = Counter(row.verdict for row in table.read(LEDGER) if row.study == study)
    line = "; ".join(f"{counts[name]} {name}" for name in table.VERDICTS if counts[name])
    assert f"Printed beside ours, on real data: {line}." in page.texts[study]
    reasons = Counter(
        row.reason for row in table.read(LEDGER) if (row.study, row.verdict) == (study, "not run")
    )
    why, count = min(reasons.items(), key=lambda each: (-each[1], each[0]))
    assert f"Not measured: {counts['not run']} rows, of which {count}: {why}" in page.texts[study]


def test_what_ran_is_said_and_what_did_not_with_its_reason(page):
    assert "Ran: 2 runs on phantom-breastmnist, 4 trainings." in page.texts["unoranic"]
    assert "Did not run" not in page.texts["unoranic"]
    assert "Ran: nothing, as the collection phantom takes nothing of it." in page.texts["baur"]


def test_runs_that_a_collection_leaves_out_are_named(monkeypatch, tmp_path):
    content = parameters()
    content["collections"]["phantom"]["studies"]["unoranic"]["only"] = {"phantom-breastmnist": ["ae"]}
    content["collections"]["phantom"]["studies"]["unoranic"]["changes"] = []
    page = Elements(made(content, monkeypatch, tmp_path))
    assert "Did not run: unoranic, as the collection phantom leaves them out." in page.texts["unoranic"]


def test_a_study_without_a_paper_is_on_the_page(monkeypatch, tmp_path):
    content = parameters()
    content["studies"]["plain"] = {"runs": ["ae"], "evaluation": {"reconstruction": {}}}
    content["collections"]["phantom"]["studies"]["plain"] = {
        "datasets": ["phantom-breastmnist"],
        "seeds": [1],
    }
    page = Elements(made(content, monkeypatch, tmp_path, ("plain",)))
    assert "Ran: 1 run on phantom-breastmnist, 1 training." in page.texts["plain"]
    assert "Printed" not in page.texts["plain"] and {"href": "plain.html"} in page.all("a")


def test_links_lead_to_the_reports_that_are_there_and_nowhere_else(page):
    assert [each["href"] for each in page.all("a")] == ["unoranic.html"], "no heads, so none to qc"
    ids = [each["id"] for each in page.all("section")]
    assert sorted(ids) == sorted(STUDIES) and len(set(ids)) == len(ids)


def test_heads_are_counted_and_lead_to_their_pictures(monkeypatch, tmp_path):
    verdicts = [
        gate.Verdict(f"sub-{who}", None, who != 2, "too small" if who == 2 else "") for who in range(3)
    ]
    table_of_gate = tmp_path / "results/imaging/bids-mine/qc.csv"
    table_of_gate.parent.mkdir(parents=True)
    gate.write(table_of_gate, verdicts, {verdict.subject: {"brain_ml": 1.0} for verdict in verdicts})
    monkeypatch.setattr(index.verify, "proven", lambda path: None)  # it has no passport here
    given = [Path("results/imaging/bids-mine/qc.csv")]
    page = Elements(made(parameters(), monkeypatch, tmp_path, ("qc",), tables=given))
    assert "bids-mine: 2 of 3 heads passed the gate." in page.texts["qc"]
    assert [each["href"] for each in page.all("a")] == ["qc.html"]


def test_the_page_needs_no_internet_and_fits_a_narrow_screen(page):
    loading = [
        each for _, attributes in page.tags for each in ("src", "srcset", "data") if each in attributes
    ]
    assert not loading and not page.all("script") and not page.all("link") and not page.all("table")
    assert "url(" not in index.markup.STYLE and "@import" not in index.markup.STYLE
    assert any(each.get("name") == "viewport" for each in page.all("meta"))
    widths = re.findall(r"(?<!max-)(?<!min-)width:\s*(\d+)px", index.markup.STYLE)
    assert all(int(width) < 400 for width in widths), "a fixed width would leave a screen of 400 pixels"
    assert page.all("html") == [{"lang": "en"}] and len(page.all("h1")) == 1
    assert "Phantoms." in page.texts[""]


def test_the_page_has_its_passport_and_the_same_bytes_again(page, monkeypatch):
    text = PAGE.read_bytes()
    passport = formats.read_passport(PAGE)
    assert passport["content"] == formats.content_of(PAGE)
    assert set(passport["inputs"]) == {"results/ledger.csv", *PAPERS}
    job = json.loads(JOB.read_text(encoding="utf-8"))
    assert passport["job"]["results"] == job["results"] and len(job["results"]) == 4
    papers = list(map(Path, PAPERS))
    shown = [Path("reports/unoranic.html"), Path("reports/qc.html")]
    index.write(JOB, [Path("results/ledger.csv")], papers, [], shown, PAGE)
    assert PAGE.read_bytes() == text


def test_the_page_of_a_collection_leads_to_what_it_makes():
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for data, expected in (("phantom", [*STUDIES, "qc"]), ("real", [*STUDIES[:4], "encoders"])):
        assert reports.shown(params.validate(content | {"data": data})) == expected


def test_every_report_leads_back():
    page = '<html>\n<head></head>\n<body class="jp-Notebook" data-x="y">\n<main>text</main></body></html>\n'
    shown = with_way_back(page)
    [link] = Elements(shown).all("a")
    assert link == {"href": PAGE.name}
    assert shown.index("</head>") < shown.index("<body") < shown.index("<nav") < shown.index("<main>")
    assert re.sub(r"<nav.*</nav>\n", "", shown) == page
