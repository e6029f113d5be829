"""Each of 15 types of files, damaged once: never accepted with other content, never a trace."""

import sys

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "tests/reliability"))
import damage
import damage_jobs


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """One attempt for each type, and what a run that was cut off goes on from."""
    folder = tmp_path_factory.mktemp("damage")
    first = damage.run(folder, 4)
    with (folder / "done.jsonl").open("a") as stream:
        stream.write('{"kind": "cut')
    whole = damage.run(folder, len(damage_jobs.TARGETS))
    assert whole[:4] == first
    return whole


def test_no_damage_is_taken_for_something_else(done):
    assert [each["kind"] for each in done] == list(damage_jobs.TARGETS)
    assert [each for each in done if each["outcome"] not in ("refused", "same", "choice")] == []


def test_the_table_counts_everything(done):
    assert damage.table(done).splitlines()[-1].startswith("| all | ")


@pytest.mark.parametrize("seed", range(50))
def test_a_damage_changes_bytes_and_repeats(seed):
    content = bytes(range(256)) * 4
    assert damage.damaged(content, None, seed) == damage.damaged(content, None, seed)
    assert damage.damaged(content, None, seed)[1] != content
