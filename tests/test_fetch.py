"""Fetching: whole files or none, whatever the server, the disk, the mirror or a second process do."""

import hashlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from latent_anatomy.data import dataset as contract
from latent_anatomy.data import fetch as fetching
from latent_anatomy.data.dataset import RawFile
from latent_anatomy.data.fetch import fetch
from latent_anatomy.datasets import registry as datasets

CONTENT = np.random.default_rng(0).bytes(1_500_000)
HALF = len(CONTENT) // 2
SOME = 20 * fetching.CHUNK_BYTES  # a number of bytes that arrives without loss when a connection drops


class Server(ThreadingHTTPServer):
    """A publisher on this machine that can fail in the ways that publishers do."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.knows_ranges = True
        self.drop_after: list[int] = []  # bytes after which each of the next answers breaks off
        self.statuses: list[int] = []  # error codes of the next answers
        self.stall = False  # after half of the content, wait until told to go on
        self.go_on = threading.Event()
        self.ranges: list[str | None] = []  # the Range header of every request

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/file.npz?download=1"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.ranges.append(asked)
        if server.statuses:
            return self.send_error(server.statuses.pop(0))
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.knows_ranges else 0
        if start >= len(server.content):
            return self.send_error(416)
        body = server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.stall:
            self.wfile.write(body[:HALF])
            self.wfile.flush()
            server.go_on.wait(60)
            body = body[HALF:]
        self.wfile.write(body[: server.drop_after.pop(0)] if server.drop_after else body)
        return None


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(fetching, "BACKOFF_S", 0)
    with Server() as publisher:
        threading.Thread(target=publisher.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield publisher
        publisher.go_on.set()
        publisher.shutdown()


def dataset(url: str | None, content: bytes = CONTENT):
    """A data set of one file with the checksum of `content`."""
    file = RawFile("file.npz", url, "md5", hashlib.md5(content).hexdigest())
    return replace(datasets.find("retinamnist"), name="some-set", file=file)


def fetched(server, folder, mirror=None):
    """The folder after fetching what the server publishes."""
    fetch(dataset(server.url), folder, mirror, progress=False)
    return folder


def whole(folder) -> bool:
    """Whether the file is there, right, and alone."""
    return os.listdir(folder) == ["file.npz"] and (folder / "file.npz").read_bytes() == CONTENT


def nothing_finished(folder) -> bool:
    return not (folder / "file.npz").exists()


# ---- from the publisher


@pytest.mark.parametrize(
    ("trouble", "asked"),
    [
        ({}, [None]),
        ({"drop_after": [SOME, SOME]}, [None, f"bytes={SOME}-", f"bytes={2 * SOME}-"]),
        ({"drop_after": [SOME], "knows_ranges": False}, [None, f"bytes={SOME}-"]),
        ({"drop_after": [fetching.CHUNK_BYTES] * (2 * fetching.ATTEMPTS)}, ...),
        ({"statuses": [503, 429, 500]}, [None] * 4),
    ],
    ids=["none", "dropped", "dropped, without ranges", "dropped often", "busy"],
)
def test_a_download_survives_trouble_and_is_not_repeated(server, tmp_path, trouble, asked):
    vars(server).update(trouble)
    for _ in range(2):
        assert whole(fetched(server, tmp_path))
        assert asked in (..., server.ranges)


def test_a_wrong_address_is_not_asked_again(server, tmp_path):
    server.statuses = [404]
    with pytest.raises(
        OSError, match=r"file\.npz: could not be downloaded from http.*404.*LATENT_ANATOMY_MIRROR"
    ):
        fetched(server, tmp_path)
    assert nothing_finished(tmp_path) and len(server.ranges) == 1


def test_giving_up_keeps_what_arrived_for_the_next_run(server, tmp_path):
    server.drop_after = [SOME] + [0] * fetching.ATTEMPTS
    with pytest.raises(OSError, match=r"file\.npz: could not be downloaded"):
        fetched(server, tmp_path)
    assert nothing_finished(tmp_path)
    server.drop_after = []
    assert whole(fetched(server, tmp_path)) and server.ranges[-1] == f"bytes={SOME}-"


def test_an_unreachable_server_is_one_clear_error(server, tmp_path):
    server.shutdown()
    server.server_close()
    with pytest.raises(OSError, match=r"file\.npz: could not be downloaded from http"):
        fetched(server, tmp_path)
    assert nothing_finished(tmp_path)


@pytest.mark.parametrize("published", [CONTENT[:HALF], CONTENT + b"more", b"<html>sorry</html>"])
def test_other_bytes_than_registered_are_refused_and_thrown_away(server, tmp_path, published):
    server.content = published
    with pytest.raises(ValueError, match=r"file\.npz.*expected md5 \w{32}, found \w{32}"):
        fetched(server, tmp_path)
    assert nothing_finished(tmp_path)
    server.content = CONTENT
    assert whole(fetched(server, tmp_path))


@pytest.mark.parametrize("leftover", [b"not the beginning", CONTENT + b"too long"])
def test_a_leftover_of_something_else_costs_one_attempt(server, tmp_path, leftover):
    (tmp_path / ".file.npz.part").write_bytes(leftover)
    with pytest.raises(ValueError, match="expected md5"):
        fetched(server, tmp_path)
    assert whole(fetched(server, tmp_path))


def test_a_leftover_that_is_whole_is_used(server, tmp_path):
    (tmp_path / ".file.npz.part").write_bytes(CONTENT)
    assert whole(fetched(server, tmp_path))


def test_progress_is_shown(server, tmp_path, capsys):
    fetch(dataset(server.url), tmp_path, None)
    assert "file.npz: 100%" in capsys.readouterr().err


# ---- kills, full disks, two at once

FETCH = """
import fcntl, sys
from dataclasses import replace
from pathlib import Path
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.data.dataset import RawFile
from latent_anatomy.data.fetch import fetch
url, checksum, folder = sys.argv[1:]
file = RawFile("file.npz", url, "md5", checksum)
flock = fcntl.flock
fcntl.flock = lambda *arguments: (print("about to lock", flush=True), flock(*arguments))
fetch(replace(datasets.find("retinamnist"), file=file), Path(folder), None)
"""


def start(server, folder, **options) -> subprocess.Popen:
    checksum = hashlib.md5(CONTENT).hexdigest()
    command = [sys.executable, "-c", FETCH, server.url, checksum, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def wait_for(condition) -> None:
    """Wait until `condition()` holds; a minute without it is a failure, not a measurement."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_a_kill_leaves_nothing_finished_and_the_next_run_goes_on(server, tmp_path):
    server.stall = True
    process, part = start(server, tmp_path), tmp_path / ".file.npz.part"
    wait_for(lambda: part.exists() and part.stat().st_size > 0)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert nothing_finished(tmp_path)
    arrived = part.stat().st_size
    server.stall = False
    assert whole(fetched(server, tmp_path)) and server.ranges == [None, f"bytes={arrived}-"]


def test_two_fetches_at_once_download_once(server, tmp_path):
    server.stall = True
    first = start(server, tmp_path)
    wait_for(lambda: server.ranges)
    second = start(server, tmp_path)
    assert second.stdout.readline() == "about to lock\n"
    server.go_on.set()
    for process in (first, second):
        process.communicate()
        assert process.returncode == 0
    assert whole(tmp_path) and server.ranges == [None]


def test_a_full_disk_is_one_clear_error_and_the_next_run_goes_on(server, tmp_path):
    process = start(
        server, tmp_path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (HALF, HALF))
    )
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "could not be written" in errors.splitlines()[-1] and "free space" in errors.splitlines()[-1]
    assert nothing_finished(tmp_path)
    assert whole(fetched(server, tmp_path))


# ---- from a mirror folder


@pytest.mark.parametrize("place", ["some-set", "medmnist", "."])
def test_the_mirror_comes_before_the_publisher(server, tmp_path, place):
    folder = tmp_path / "mirror" / place
    folder.mkdir(parents=True)
    (folder / "file.npz").write_bytes(CONTENT)
    assert whole(fetched(server, tmp_path / "raw", tmp_path / "mirror")) and server.ranges == []


def test_a_wrong_file_in_the_mirror_is_refused_not_passed_over(server, tmp_path):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "file.npz").write_bytes(CONTENT[:-1])
    with pytest.raises(ValueError, match=r"mirror/file\.npz: expected md5 .*registered under its own name"):
        fetched(server, tmp_path / "raw", mirror)
    assert nothing_finished(tmp_path / "raw") and server.ranges == []
    assert "mirror/file.npz: expected md5" in datasets.unavailable(dataset(server.url), tmp_path, mirror)


def test_what_the_mirror_lacks_comes_from_the_publisher(server, tmp_path):
    (tmp_path / "mirror").mkdir()
    assert whole(fetched(server, tmp_path / "raw", tmp_path / "mirror"))


def test_a_full_disk_while_copying_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "file.npz").write_bytes(CONTENT)

    def half_a_copy(source, target):
        target.write_bytes(source.read_bytes()[:HALF])
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(fetching.shutil, "copyfile", half_a_copy)
    with pytest.raises(OSError, match="No space left"):
        fetch(dataset(None), tmp_path / "raw", tmp_path)
    assert nothing_finished(tmp_path / "raw")
    monkeypatch.undo()
    fetch(dataset(None), tmp_path / "raw", tmp_path)
    assert whole(tmp_path / "raw")


def test_a_wrong_file_already_there_is_neither_used_nor_overwritten(server, tmp_path):
    (tmp_path / "file.npz").write_bytes(b"someone's own")
    with pytest.raises(ValueError, match=r"file\.npz: expected md5"):
        fetched(server, tmp_path)
    assert (tmp_path / "file.npz").read_bytes() == b"someone's own" and server.ranges == []


def test_what_cannot_be_had_is_named_with_how_to_get_it(tmp_path):
    copy, message = datasets.find("breastmnist-resaved"), r"BreastMNIST_resaved\.npz has no public address"
    with pytest.raises(ValueError, match=rf"{message}.*LATENT_ANATOMY_MIRROR"):
        fetch(copy, tmp_path, None)
    assert "LATENT_ANATOMY_MIRROR" in datasets.unavailable(copy, tmp_path, None)
    (tmp_path / copy.file.name).touch()
    assert datasets.unavailable(copy, tmp_path, None) is None
    assert datasets.unavailable(datasets.find("retinamnist"), tmp_path, None) is None
    phantom = datasets.find("phantom-retinamnist")
    assert datasets.unavailable(phantom, tmp_path, None) is None
    with pytest.raises(ValueError, match="run `phantom phantom-retinamnist`"):
        fetch(phantom, tmp_path, None)


def test_a_file_whose_checksum_nobody_registered_is_not_trusted(server, tmp_path):
    unknown = replace(dataset(server.url), file=RawFile("file.npz", server.url))
    (tmp_path / "file.npz").write_bytes(CONTENT)
    with pytest.raises(ValueError, match=r"file\.npz: expected a registered checksum, found none: take it"):
        fetch(unknown, tmp_path / "raw", tmp_path, progress=False)
    assert "expected a registered checksum" in datasets.unavailable(unknown, tmp_path, tmp_path)
    assert not (tmp_path / "raw").exists() and server.ranges == []


def test_the_mirror_is_named_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv(contract.MIRROR_VARIABLE, raising=False)
    assert contract.mirror_folder() is None
    monkeypatch.setenv(contract.MIRROR_VARIABLE, str(tmp_path))
    assert contract.mirror_folder() == tmp_path
    monkeypatch.setenv(contract.MIRROR_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(ValueError, match="LATENT_ANATOMY_MIRROR: expected a folder"):
        contract.mirror_folder()
