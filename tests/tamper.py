"""The kinds of tampering that the audit is asked to find, each as code, with what finds it.

`python tests/tamper.py` tries all of them on the tiny project, and prints what found each; it fails where
that is not what stands here. docs/audit.md has the same list, and `test_tamper.py` holds the two together.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import forger
import h5py
import numpy as np
import pytest
import tiny_project
from forger import MODEL, OTHER, RAW, REPORT, RESULT, RESULTS, SLICES, TESTS, forge, reseal
from safetensors.numpy import load_file, save_file
from tiny_project import LEDGERS
from typer.testing import CliRunner

from latent_anatomy.audit import again, prove
from latent_anatomy.audit.links import State
from latent_anatomy.audit.prove import BROKEN, PROVEN, UNPROVEN
from latent_anatomy.cli import main
from latent_anatomy.jobs import report
from latent_anatomy.provenance import formats
from latent_anatomy.provenance.files import canonical_json, sha256_file

AUDIT, LISTED, RECOMPUTE, RETRAIN, NOBODY = "audit", "listed", "--recompute", "--retrain", "nobody"
PSNR = "reconstruction/psnr"


@dataclass(frozen=True)
class Kind:
    """One kind of tampering: `what` is done, by `do`; what finds it, with which exit code, in which words.

    `why` says, of what the audit alone does not find, why it cannot.
    """

    what: str
    do: Callable[[Path], object] | None
    by: str
    says: str = ""
    code: int = BROKEN
    why: str = ""


def passport(artefact, **changed: dict):
    """Change entries of a passport's parts, and seal everything anew."""

    def do(root: Path) -> None:
        def change(proof: dict) -> None:
            for key, values in changed.items():
                proof[key].update(values)

        forge(root / artefact.path, change)
        reseal(root)

    return do


def numbers(root: Path, artefact=RESULT, **values: float) -> None:
    forger.edit_json(root / artefact.outputs["metrics"], **(values or {PSNR: 35.9}))


def all_numbers(root: Path) -> None:
    numbers(root)
    reseal(root)


def number_and_its_passport(root: Path) -> None:
    numbers(root)
    hashed = sha256_file(root / RESULT.outputs["metrics"])
    forge(root / RESULT.path, lambda proof: proof["outputs"].update(metrics=hashed))


def p_values(root: Path) -> None:
    path = root / TESTS.outputs["metrics"]
    keys = [key for key in json.loads(path.read_text(encoding="utf-8")) if key.endswith("/p_value")]
    assert keys
    forger.edit_json(path, **dict.fromkeys(keys, 0.5))
    reseal(root)


def other_weights(root: Path) -> None:
    shutil.copy(root / OTHER.made_of[0].path, root / MODEL.path)


def weights_under_a_passport(root: Path) -> None:
    proof = formats.read_passport(root / MODEL.path)
    save_file(load_file(root / OTHER.made_of[0].path), root / MODEL.path, {"passport": canonical_json(proof)})


def better_weights(root: Path) -> None:
    weights = load_file(root / MODEL.path)
    proof = formats.read_passport(root / MODEL.path)
    for name, values in weights.items():
        if values.dtype == np.float32:
            weights[name] = values * np.float32(1.01)
    save_file(weights, root / MODEL.path, {"passport": canonical_json(proof)})
    evaluated_anew(root, RESULT)


def evaluated_anew(root: Path, result) -> None:
    reseal(root)
    forger.evaluate_again(root, result)
    reseal(root, tests=True)


def copied_seed(root: Path) -> None:
    shutil.copy(root / MODEL.path, root / OTHER.made_of[0].path)
    shutil.copy(root / MODEL.outputs["history"], root / OTHER.made_of[0].outputs["history"])
    forge(root / OTHER.made_of[0].path, lambda proof: proof["job"].update(seed=2))
    evaluated_anew(root, OTHER)


def more_epochs(root: Path) -> None:
    text = (root / "params.yaml").read_text(encoding="utf-8")
    (root / "params.yaml").write_text(text.replace("epochs: 1", "epochs: 2"), encoding="utf-8")


def claimed_epochs(root: Path) -> None:
    more_epochs(root)
    for result in RESULTS.values():
        for path in (result.made_of[0].path, result.path):
            forge(root / path, lambda proof: proof["job"]["params"].update(epochs=2))
    reseal(root)
    forger.commit(root)


def no_second_seed(root: Path) -> None:
    for (_, seed), result in RESULTS.items():
        if seed == 2:
            shutil.rmtree((root / result.path).parent)
            shutil.rmtree((root / result.made_of[0].path).parent)

    def forget(proof: dict) -> None:
        proof["inputs"] = {role: value for role, value in proof["inputs"].items() if "seed-2" not in role}

    forge(root / TESTS.path, forget)
    reseal(root)


def one_seed_in_params(root: Path) -> None:
    def change(content: dict) -> None:
        content["collections"]["phantom"]["studies"]["unoranic"].update(seeds=[1])

    forger.edit_params(root, change)
    for path in (TESTS.path, REPORT):
        forge(root / path, lambda proof: proof["job"].update(seeds=[1]))
    left = [f"unoranic/{tiny_project.DATASET}/{run}/seed-1" for run in tiny_project.RUNS]
    forge(root / tiny_project.PAGE, lambda proof: proof["job"].update(results=left))
    no_second_seed(root)


def no_tests(root: Path) -> None:
    shutil.rmtree((root / TESTS.path).parent)
    reseal(root)


def unsealed(root: Path, **source: str) -> None:
    proof = formats.read_passport(root / RESULT.path)
    kept = {key: value for key, value in proof.items() if key not in ("seal", "outputs")}
    kept["source"] |= source
    (root / RESULT.path).write_text(canonical_json(kept), encoding="utf-8")
    numbers(root)
    (root / RESULT.outputs["scores"]).unlink()
    forger.ledgers(root)
    forger.reports(root)


def printed(root: Path) -> None:
    path = root / "papers/unoranic.yaml"
    text = path.read_text(encoding="utf-8")
    changed = text.replace("28.725", "8.0")
    assert changed != text
    path.write_text(changed, encoding="utf-8")
    reseal(root)


def hidden(root: Path) -> None:
    printed(root)
    words = ("update-index", "--assume-unchanged", "papers/unoranic.yaml")
    subprocess.run(["git", "-C", str(root), *words], check=True)


def in_slices(name: str, change: Callable[[np.ndarray], np.ndarray]):
    def do(root: Path) -> None:
        with h5py.File(root / SLICES.path, "a") as file:
            file[name][...] = change(file[name][()])
        reseal(root)

    return do


def more_training(split: np.ndarray) -> np.ndarray:
    return np.where(np.arange(len(split)) % 7 == 0, np.array("train", split.dtype), split)


def raw(root: Path) -> None:
    with np.load(root / RAW) as file:
        arrays = {name: 255 - file[name] if "images" in name else file[name] for name in file.files}
    np.savez(root / RAW, **arrays)
    reseal(root)


def real_name(root: Path) -> None:
    real = forger.rename(root, chain=False)
    forge(root / real.path, lambda proof: proof["job"].update(dataset="breastmnist"))


def real_chain(root: Path) -> None:
    trained, sliced = (real := forger.rename(root, chain=True)).made_of
    with h5py.File(root / sliced.path, "a") as file:
        file.attrs["dataset"] = "breastmnist"
    for artefact in (sliced, trained, real):
        made_of = {role: sha256_file(root / path) for role, path in artefact.inputs.items()}
        forge(root / artefact.path, lambda proof: proof["job"].update(dataset="breastmnist"))
        forge(root / artefact.path, lambda proof, made_of=made_of: proof.update(inputs=made_of))


def text_of_report(root: Path) -> None:
    text = (root / REPORT).read_text(encoding="utf-8")
    (root / REPORT).write_text(text.replace("</body>", "better</body>"), encoding="utf-8")


def sealed_report(root: Path) -> None:
    text_of_report(root)
    forge(root / REPORT, lambda proof: None)


def shorter_report(root: Path) -> None:
    metrics = RESULT.outputs["metrics"]

    def leave_out(proof: dict) -> None:
        proof["parameters"]["metrics_files"].remove(metrics)

    forge(root / REPORT, leave_out)
    forger.reports(root)


def notebook(root: Path) -> None:
    with (root / "notebooks/unoranic.ipynb").open("a", encoding="utf-8") as stream:
        stream.write("\n")


def committed(do: Callable[[Path], object], subject: str = ""):
    """Tampering with results that git has; with a `subject`, committed too."""

    def both(root: Path) -> None:
        forger.commit(root)
        do(root)
        if subject:
            forger.commit(root, subject)

    return both


def alone(root: Path) -> None:
    """What a clone has of a result: nothing that it was made of."""
    for folder in ("models", "data", "reports"):
        shutil.rmtree(root / folder)
    for result in RESULTS.values():
        (root / result.outputs["arrays"]).unlink()


def versions(root: Path) -> None:
    passport(RESULT, environment={"numpy": "1.0.0"})(root)


def corrected(root: Path) -> None:
    versions(root)
    seal = formats.read_passport(root / RESULT.path)["seal"][:12]
    (root / "docs").mkdir()
    (root / "docs/corrections.md").write_text(f"`{RESULT.path}`, seal {seal}\n", encoding="utf-8")


def fewer_versions(root: Path) -> None:
    forge(root / RESULT.path, lambda proof: proof["environment"].pop("numpy"))
    reseal(root)


def fewer_inputs(root: Path) -> None:
    forge(root / RESULT.path, lambda proof: proof["inputs"].pop("model"))


def no_modules(root: Path) -> None:
    forge(
        root / MODEL.path, lambda proof: proof["job"].update(modules=[], source=hashlib.sha256().hexdigest())
    )
    reseal(root)


def unnamed_scores(root: Path) -> None:
    forge(root / RESULT.path, lambda proof: proof["outputs"].pop("scores"))
    in_arrays("scores")(root)


def in_arrays(role: str):
    def do(root: Path) -> None:
        path = root / RESULT.outputs[role]
        with np.load(path) as file:
            arrays = dict(file)
        name = next(name for name, values in arrays.items() if values.dtype.kind == "f")
        arrays[name] = arrays[name] + np.asarray(0.5, arrays[name].dtype)
        np.savez_compressed(path, **arrays)
        reseal(root, tests=role == "scores")

    return do


def history(root: Path) -> None:
    path = root / MODEL.outputs["history"]
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([lines[0], *(f"{line}1" for line in lines[1:])]) + "\n", encoding="utf-8")
    reseal(root)


def in_ledger(change: Callable[[str], str]):
    def do(root: Path) -> None:
        path = root / LEDGERS[1]
        path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")

    return do


OWN_HASHES = "only the value itself contradicts"
TRAINED = "only training says what comes out of it"
MADE_UP = "f" * 40
KINDS = (
    Kind("a number of metrics.json edited", numbers, AUDIT, "changed after"),
    Kind("and its passport resealed", number_and_its_passport, AUDIT, "expected ours_mean"),
    Kind("and everything above it resealed", all_numbers, RECOMPUTE, f"{PSNR} was 35.9", why=OWN_HASHES),
    Kind("p-values edited, everything resealed", p_values, RECOMPUTE, "was 0.5", why=OWN_HASHES),
    Kind(
        "scores.npz edited, tests made of it, resealed",
        in_arrays("scores"),
        RECOMPUTE,
        "of scores.npz",
        why=OWN_HASHES,
    ),
    Kind(
        "arrays.npz edited, everything resealed",
        in_arrays("arrays"),
        RECOMPUTE,
        "of arrays.npz",
        why=OWN_HASHES,
    ),
    Kind(
        "metrics.json resealed, all that it was made of deleted",
        lambda root: (all_numbers(root), alone(root)),
        AUDIT,
        "nothing holds it",
        UNPROVEN,
    ),
    Kind("committed metrics edited and resealed", committed(all_numbers), AUDIT, "as it was committed"),
    Kind(
        "committed metrics edited, resealed and committed",
        committed(lambda root: (all_numbers(root), alone(root)), "A better number"),
        LISTED,
        "A better number",
        PROVEN,
        "a commit may be right; whoever has the models asks with --recompute",
    ),
    Kind("a printed number of a paper edited", printed, AUDIT, "papers/unoranic.yaml as it was committed"),
    Kind("and hidden from git's index", hidden, AUDIT, "papers/unoranic.yaml as it was committed"),
    Kind(
        "a printed number edited and committed",
        committed(printed, "A misprint"),
        LISTED,
        "A misprint",
        PROVEN,
        "nothing here has read the paper",
    ),
    Kind("the checkpoint of another seed", other_weights, AUDIT, "expected seed 1"),
    Kind(
        "the weights of another seed under the right passport",
        weights_under_a_passport,
        AUDIT,
        "passport is that of another file",
    ),
    Kind("a checkpoint that other parameters trained", more_epochs, AUDIT, "params.epochs 1 in place of 2"),
    Kind(
        "the parameters in its passport made those of params.yaml, resealed",
        claimed_epochs,
        RETRAIN,
        "is another",
        why=TRAINED,
    ),
    Kind("weights edited, evaluated anew, resealed", better_weights, RETRAIN, "is another", why=TRAINED),
    Kind(
        "a good seed under the name of a bad one, evaluated anew, resealed",
        copied_seed,
        AUDIT,
        "the same in ae/seed-1 and ae/seed-2",
    ),
    Kind("the table of losses edited, resealed", history, RETRAIN, "history.csv is another", why=TRAINED),
    Kind(
        "a bad seed deleted from all runs, everything resealed", no_second_seed, AUDIT, "found no ae/seed-2"
    ),
    Kind("and its seed deleted from params.yaml", one_seed_in_params, AUDIT, "on no record", UNPROVEN),
    Kind(
        "and all of that committed, where results were",
        committed(one_seed_in_params, "Fewer seeds"),
        LISTED,
        "Fewer seeds",
        PROVEN,
        "a commit may be right; it is listed with what it removed",
    ),
    Kind("paired tests that came out wrongly deleted", no_tests, AUDIT, "expected paired tests"),
    Kind("seal and outputs deleted, to look older than seals", unsealed, AUDIT, "expected the seal"),
    Kind(
        "and the commit made up",
        lambda root: unsealed(root, commit=MADE_UP),
        AUDIT,
        "expected a sealed passport",
    ),
    Kind("an input deleted from the passport", fewer_inputs, AUDIT, "expected model in its passport"),
    Kind(
        "an output left out of the passport, and edited", unnamed_scores, AUDIT, "scores.npz in its passport"
    ),
    Kind(
        "labels reversed in the slices, everything resealed",
        in_slices("labels", lambda labels: 1 - labels),
        RECOMPUTE,
        "labels of",
        why=OWN_HASHES,
    ),
    Kind(
        "images inverted in the slices, everything resealed",
        in_slices("images", lambda images: 255 - images),
        RECOMPUTE,
        "images of",
        why=OWN_HASHES,
    ),
    Kind(
        "test images moved to training in the slices, resealed",
        in_slices("split", more_training),
        RECOMPUTE,
        "split of",
        why=OWN_HASHES,
    ),
    Kind("a phantom's raw file edited, everything resealed", raw, AUDIT, "drawing was"),
    Kind(
        "a phantom's result in the folder of a real data set",
        lambda root: forger.rename(root, chain=False),
        AUDIT,
        "expected dataset breastmnist",
    ),
    Kind("and with a real name in its passport", real_name, AUDIT, "no phantom under a real name"),
    Kind("a phantom's whole chain under a real name", real_chain, AUDIT, "expected md5"),
    Kind("text of a report edited", text_of_report, AUDIT, "it was edited"),
    Kind(
        "text of a report edited and resealed",
        sealed_report,
        RECOMPUTE,
        "shows something else",
        why=OWN_HASHES,
    ),
    Kind("a result left out of a report, resealed", shorter_report, AUDIT, "expected it to show all results"),
    Kind("a notebook edited after its report was made", notebook, AUDIT, "is stale"),
    Kind(
        "a notebook edited, the report made by it and resealed",
        lambda root: (notebook(root), reseal(root)),
        AUDIT,
        "on no record",
        UNPROVEN,
    ),
    Kind(
        "a number of a ledger edited",
        in_ledger(lambda text: text.replace(",,", ",,99.9", 1)),
        AUDIT,
        "older than its metrics",
    ),
    Kind(
        "rows taken out of a ledger",
        in_ledger(lambda text: "\n".join(text.split("\n")[:-9]) + "\n"),
        AUDIT,
        "missing",
    ),
    Kind("versions of libraries that contradict the lock, resealed", versions, AUDIT, "versions of the lock"),
    Kind("and listed in docs/corrections.md", corrected, AUDIT, "which docs/corrections.md says", UNPROVEN),
    Kind(
        "a library left out of the passport, resealed",
        fewer_versions,
        AUDIT,
        "does not name the versions of numpy",
        UNPROVEN,
    ),
    Kind(
        "another lock in the passport, resealed",
        passport(RESULT, environment={"lock": "0" * 64}),
        AUDIT,
        "is not that of commit",
        UNPROVEN,
    ),
    Kind(
        "a job that sources ran which no commit has",
        passport(MODEL, source={"dirty": True}),
        AUDIT,
        "expected the sources of a commit",
    ),
    Kind(
        "and its passport says that the commit has them",
        passport(MODEL, job={"source": "0" * 64}),
        AUDIT,
        "expected sources 0000",
    ),
    Kind(
        "modules left out of the passport, so that nobody asks for their sources",
        no_modules,
        AUDIT,
        "left out",
    ),
    Kind(
        "a commit that nobody has, resealed",
        passport(MODEL, source={"commit": MADE_UP}),
        AUDIT,
        "not in this repository",
        UNPROVEN,
    ),
    Kind(
        "a GPU in the passport, so that nobody asks for the same bits",
        lambda root: (passport(RESULT)(root), gpu(root)),
        RECOMPUTE,
        "it was made on",
        UNPROVEN,
        "a passport from another machine is no break",
    ),
    Kind(
        "the history of git written anew, with the edit in it",
        None,
        NOBODY,
        why="a repository only contradicts itself; hold the commit against one that somebody else has cloned",
    ),
    Kind("the audit edited", None, NOBODY, why="run that of a clone that you trust"),
    Kind(
        "the best of several trainings with one seed, on a GPU",
        None,
        NOBODY,
        why="a GPU does not promise the same bits, so that each of them may have come out",
    ),
    Kind(
        "a user's own raw files edited with their SHA256SUMS",
        None,
        NOBODY,
        why="nobody else has a sum of them",
    ),
)


def gpu(root: Path) -> None:
    forge(root / RESULT.path, lambda proof: proof.update(device="NVIDIA H100"))
    reseal(root)


def found(root: Path, kind: Kind, words: Sequence[str] = ()) -> tuple[str, int, str]:
    """What finds it, the exit code of that audit of the numbers that `words` choose, and all that it says.

    One audit answers for all: what --recompute and --retrain add are links of their own.
    """
    deep = kind.by in (RECOMPUTE, RETRAIN)
    audited = prove.audit(root, words, recompute=deep, retrain="ae" if kind.by == RETRAIN else None)
    states = (State.BROKEN, State.UNPROVEN)
    bad = [link for each in audited.links.values() for link in each if link.state in states]
    ways = [{"recompute": RECOMPUTE, "retrain": RETRAIN}.get(link.check, AUDIT) for link in bad]
    by = min(ways, key=[AUDIT, RECOMPUTE, RETRAIN].index, default=LISTED)
    listed = [change.subject for change in audited.changes]
    return by, audited.exit_code(), "\n".join([link.message for link in bad] if bad else listed)


def in_process(words: list[str], root: Path, sources: Path) -> str:
    """A verb as `again.verb` runs it, without a process of its own."""
    with forger.chdir(root):
        done = CliRunner().invoke(main.app, list(words))
    return "" if done.exit_code == 0 else repr(done.exception)


def rows() -> list[str]:
    """The table of docs/audit.md: a row for each kind."""
    marks = {
        AUDIT: ("found", "found", "found"),
        RECOMPUTE: ("", "found", "found"),
        RETRAIN: ("", "", "found"),
        LISTED: ("listed", "listed", "listed"),
        NOBODY: ("", "", ""),
    }
    table = [
        "| | tampering | `audit` | `--recompute` | `--retrain` | why not sooner |",
        "|---|---|---|---|---|---|",
    ]
    for number, kind in enumerate(KINDS, 1):
        found = [mark + (", unproven" if mark and kind.code == UNPROVEN else "") for mark in marks[kind.by]]
        table.append(f"| {number} | {kind.what} | {' | '.join(found)} | {kind.why} |")
    return [line.replace("|  |", "| |").replace("|  |", "| |") for line in table]


def patched(patch: pytest.MonkeyPatch) -> None:
    """Make again in this process, and reports by their stand-in."""
    patch.setattr(again, "verb", in_process)
    patch.setattr(report, "html", tiny_project.stand_in)


def try_all() -> bool:
    """Try every kind, print what found it, and return whether that is what stands here."""
    right = True
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patched(patch)
        tiny_project.finish(Path(folder, "whole"))
        for kind in KINDS:
            if kind.do is None:
                print(f"{kind.by:<12} {kind.what}: {kind.why}")
                continue
            root = Path(shutil.copytree(Path(folder, "whole"), Path(folder, "project")))
            kind.do(root)
            by, code, said = found(root, kind)
            as_listed = (by, code) == (kind.by, kind.code) and kind.says in said
            right &= as_listed
            print(f"{by:<12} {kind.what}: exit code {code}", flush=True)
            if not as_listed:
                print(f"expected {kind.by}, {kind.code}, {kind.says!r}, found:\n{said}")
            shutil.rmtree(root)
    counts = Counter(kind.by for kind in KINDS)
    print(f"{len(KINDS)} kinds: " + ", ".join(f"{by} {count}" for by, count in counts.items()))
    return right


if __name__ == "__main__":
    if "--table" in sys.argv:
        print("\n".join(rows()))
    else:
        sys.exit(0 if try_all() else 1)
