"""Names that become folders and words of commands: one form, asked in one place; files keep their privacy."""

import os
import stat

import pytest
from conftest import ROOT
from test_params import PHANTOM, REAL, only_line, with_entry, without_entry

from latent_anatomy.data import names
from latent_anatomy.data.dataset import Subject
from latent_anatomy.provenance.files import atomic_write, write_text

HARMFUL = ("$(touch x)y", "../../up", "", "-n", ".hidden", "a b", "a\nb", "a;b", "<b>", "ä", "a/b", "x" * 101)


@pytest.mark.parametrize("name", HARMFUL)
def test_what_cannot_be_a_name_is_refused_wherever_it_stands(name):
    with pytest.raises(ValueError, match="expected a name of"):
        names.checked(name)
    with pytest.raises(ValueError, match="expected a name of"):
        Subject(name, {}, {}, "train")
    study, chosen = {"runs": ["ae"], "evaluation": {}}, {"seeds": [1]}
    sweep = {"datasets": [], "splits": [], "folds": [], "labelled": []}
    for keys, value in (
        (("methods", name), {"method": "autoencoder"}),
        (("studies", name), study),
        (("collections", name), {"studies": {}}),
        ((*PHANTOM[:-1], name), chosen),
        ((*PHANTOM, "sweeps"), {name: sweep}),
        ((*PHANTOM, "datasets"), [name]),
        (("studies", "unoranic", "runs"), ["ae", name]),
    ):
        assert "expected a name of" in only_line(with_entry(keys, value))


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        ((*PHANTOM, "seeds"), [1, 1]),
        ((*PHANTOM, "seeds"), [-1]),
        ((*PHANTOM, "seeds"), [2**32]),
        ((*REAL, "datasets"), ["bloodmnist", "bloodmnist"]),
        (("studies", "unoranic", "runs"), ["ae", "ae"]),
        ((*PHANTOM, "changes"), [{"seeds": [2, 2]}]),
    ],
)
def test_what_stands_there_twice_and_seeds_that_are_none(keys, value):
    assert ".".join(keys) in only_line(with_entry(keys, value))


def test_a_cohort_is_no_data_set():
    assert "use sweeps" in only_line(with_entry((*REAL, "datasets"), ["bloodmnist.published.6"]))


def test_every_rule_quotes_what_it_puts_into_a_shell():
    import re

    for path in (ROOT / "workflow/rules").glob("*.smk"):
        shells = re.findall(r"(?:shell:|REPORT = \()((?:\n\s+.*[\"'])+)", path.read_text())
        words = [word for shell in shells for word in re.findall(r"\{([a-z][^{}]*)\}", shell)]
        assert [word for word in words if not word.endswith(":q")] == [], path.name


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_follow_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "new", "text")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == mode


def test_nothing_that_was_private_becomes_readable(tmp_path):
    private, copy = tmp_path / "private", tmp_path / "copy"
    private.write_text("mine")
    private.chmod(0o600)
    write_text(private, "still mine")
    with atomic_write(copy, like=private) as temporary:
        temporary.write_text("mine")
    assert stat.S_IMODE(private.stat().st_mode) == stat.S_IMODE(copy.stat().st_mode) == 0o600


def test_a_key_that_is_missing_is_named():
    assert "seeds" in only_line(without_entry(*PHANTOM, "seeds"))
