"""The pages of docs/ as a site: all of them, from one page, and no link that leads nowhere."""

import re
import shutil
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT

CONFIG = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
PAGES = {path.name for path in (ROOT / "docs").glob("*.md")}


def named(nav: object) -> list[str]:
    """The pages of a navigation, in their order."""
    if isinstance(nav, str):
        return [nav]
    return [page for each in (nav.values() if isinstance(nav, dict) else nav) for page in named(each)]


def test_every_page_is_in_the_navigation_once_and_leads_from_the_first():
    assert sorted(named(CONFIG["nav"])) == sorted(PAGES)
    first = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\((\S+?\.md)\)", first)) == PAGES - {"index.md"}


def test_make_docs_builds_strictly():
    recipe = ["make", "--no-print-directory", "--dry-run", "--assume-old=environment", "docs"]
    made = subprocess.run(recipe, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert made.splitlines()[-1].endswith("mkdocs build") and CONFIG["strict"] is True
    kinds = {kind for block in CONFIG["validation"].values() for kind in block.values()}
    assert kinds == {"warn"}, "which `strict` makes an error"


@pytest.fixture
def site(tmp_path):
    pytest.importorskip("mkdocs", reason="it is in requirements.lock: make environment")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    return tmp_path


def build(folder) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mkdocs", "build"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_the_site_is_built_and_loads_nothing_from_elsewhere(site):
    result = build(site)
    assert result.returncode == 0, result.stderr
    for page in PAGES:
        text = (site / "site" / page).with_suffix(".html").read_text(encoding="utf-8")
        assert not re.findall(r'(?:<script[^>]* src|<link[^>]* href)="(?:https?:)?//[^"]*"', text)


@pytest.mark.parametrize("link", ["no-such-page.md", "qc.md#no-such-heading", "../results/ledger.csv"])
def test_a_link_that_leads_nowhere_is_an_error(site, link):
    with (site / "docs/index.md").open("a", encoding="utf-8") as stream:
        stream.write(f"\n[somewhere]({link})\n")
    result = build(site)
    assert result.returncode == 1 and link in result.stderr and "Aborted" in result.stdout
