"""Each kind of tampering is found by what docs/audit.md says, and by nothing cheaper."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
import tamper
from tamper import KINDS, NOBODY, RECOMPUTE, RETRAIN
from test_audit import drawn_once, project, whole  # noqa: F401
from tiny_project import ROOT

# Of what is made again, that of one number is enough; paired tests stand behind the claim alone.
ONE, CLAIM = ("table 2", "ae", "reconstruction/psnr"), ("claim",)
TRIED = [kind for kind in KINDS if kind.by != NOBODY]


@pytest.mark.parametrize("kind", TRIED, ids=[kind.what for kind in TRIED])
def test_a_kind_of_tampering_is_found_by_what_the_page_says(kind, project, monkeypatch):  # noqa: F811
    tamper.patched(monkeypatch)
    kind.do(project)
    words = () if kind.by not in (RECOMPUTE, RETRAIN) else CLAIM if "p-values" in kind.what else ONE
    by, code, said = tamper.found(project, kind, words)
    assert (by, code) == (kind.by, kind.code), said
    assert kind.says in said


def test_made_again_and_trained_again_a_finished_project_holds(whole, monkeypatch):  # noqa: F811
    """Bit by bit: slices, results with scores, arrays and tables, paired tests, reports; and checkpoints."""
    tamper.patched(monkeypatch)
    audited = tamper.prove.audit(whole, recompute=True, retrain="ae")
    assert audited.exit_code(strict=True) == 0
    again = Counter(link.check for each in audited.links.values() for link in each)
    assert (again["recompute"], again["retrain"]) == (1 + 4 + 1 + 7, 2)


def test_the_page_has_the_table_of_all_kinds():
    page = Path(ROOT, "docs/audit.md").read_text(encoding="utf-8")
    assert "\n".join(tamper.rows()) in page, "python tests/tamper.py --table writes it"
    counts = Counter(kind.by for kind in KINDS)
    assert f"{len(KINDS)} kinds" in page and len(KINDS) >= 40
    assert all(kind.why for kind in KINDS if kind.by != tamper.AUDIT) and counts[NOBODY] < 6


def test_every_kind_is_named_once():
    assert len({kind.what for kind in KINDS}) == len(KINDS)


def test_a_project_without_history_says_so(project):  # noqa: F811
    shutil.rmtree(project / ".git")
    audited = tamper.prove.audit(project, ONE)
    assert audited.exit_code() == tamper.UNPROVEN
    [link] = audited.links["papers"]
    assert "no history is here" in link.message


def test_an_audit_for_a_run_that_is_not_here_is_refused(whole):  # noqa: F811
    with pytest.raises(
        ValueError, match="expected a run with checkpoints behind these numbers, found 'resnet'"
    ):
        tamper.prove.audit(whole, ONE, retrain="resnet")
