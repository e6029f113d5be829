"""One process at a time makes an output, orphans included; a killed one leaves nothing that matters."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from test_jobs import files, run_evaluate, run_train  # noqa: F401

from latent_anatomy.provenance.lock import alone, making

HOLD = """
import sys
from pathlib import Path
from latent_anatomy.provenance.files import atomic_folder, atomic_write
from latent_anatomy.provenance.lock import alone
out = Path(sys.argv[1])
with alone(out), atomic_write(out) as temporary, atomic_folder(out.with_name("tables")):
    temporary.write_text("half")
    print("made", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """A process that is making tmp_path/out and waits."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        yield process
        process.kill()


def test_an_output_that_another_process_makes_is_left_to_it_and_said_so(tmp_path, other):
    said = rf"out: expected .* alone, found another process, {other.pid}, "
    with pytest.raises(BlockingIOError, match=said), alone(tmp_path / "out"):
        pytest.fail("both make it")
    with alone(tmp_path / "another"):
        pass
    other.stdin.close()
    assert other.wait() == 0
    assert {path.name for path in tmp_path.iterdir()} == {"out", "tables"}


def test_what_a_kill_leaves_is_swept_by_the_next(tmp_path, other):
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    left = {path.name for path in tmp_path.iterdir()}
    assert ".out.lock" in left and sum(name.endswith(".part") for name in left) == 2
    with alone(tmp_path / "out", tmp_path / "tables"):
        assert [path.name for path in tmp_path.iterdir()] == [".out.lock"]
    assert not list(tmp_path.iterdir())


def test_what_a_kill_leaves_in_a_folder_is_swept_by_who_makes_the_folder(tmp_path):
    """As of a phantom, whose files are written one by one where its publisher's lie."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "folder" / "deep" / "file")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.kill()
    finished = tmp_path / "folder" / "deep" / "whole.part"
    finished.write_text("an output")
    assert list((tmp_path / "folder").rglob(".file.*.part"))
    with alone(tmp_path / "folder"):
        found = sorted(path.name for path in (tmp_path / "folder").rglob("*") if path.is_file())
    assert found == [".file.lock", "whole.part"], "the lock goes when the file is made again"


def test_a_job_locks_the_output_that_it_is_given_however_it_is_given(tmp_path):
    @making("out")
    def run(name: str, out: Path) -> list[str]:
        return sorted(path.name for path in out.parent.iterdir())

    assert run("x", tmp_path / "a") == [".a.lock"] and run(out=tmp_path / "b", name="x") == [".b.lock"]
    with alone(tmp_path / "a"), pytest.raises(BlockingIOError):
        run("x", tmp_path / "a")


def test_an_error_gives_the_lock_back(tmp_path):
    with pytest.raises(RuntimeError), alone(tmp_path / "out"):
        raise RuntimeError
    with alone(tmp_path / "out"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_model_and_a_result_that_another_process_makes_are_left_to_it(files, tmp_path):  # noqa: F811
    with (
        alone(files["model"]),
        pytest.raises(BlockingIOError, match=r"model\.safetensors: expected .* alone"),
    ):
        run_train(files)
    assert not files["model"].exists() and not files["history"].exists()
    run_train(files)
    with alone(files["passport"]), pytest.raises(BlockingIOError, match="wait until it ends, or stop it"):
        run_evaluate(files)
    assert not files["metrics"].exists()
