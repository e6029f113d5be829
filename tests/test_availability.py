"""What cannot be had is known before anything runs."""

import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from latent_anatomy.datasets import registry as datasets
from latent_anatomy.pipeline import availability

ORIGINAL = datasets.find("retinamnist")


@pytest.fixture
def publisher(monkeypatch):
    """A function that lets the publisher of retinamnist be at an address; proxies are not asked."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    availability._error.cache_clear()

    def move(address: str) -> None:
        moved = replace(ORIGINAL, file=replace(ORIGINAL.file, url=f"{address}/retinamnist.npz"))
        monkeypatch.setattr(datasets, "find", lambda name: moved)

    yield move
    availability._error.cache_clear()


@pytest.fixture
def server():
    """Address of a server that answers every request with 404 and counts them."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_):
            pass

    asked: list[str] = []
    with HTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", asked
        running.shutdown()


def test_a_publisher_that_answers_is_asked_once(publisher, server, tmp_path):
    address, asked = server
    publisher(address)
    assert availability.missing(["retinamnist", "retinamnist"], tmp_path, None) == []
    assert asked == ["/"]


def test_a_publisher_that_does_not_answer_is_named_with_what_to_do(publisher, tmp_path):
    publisher("http://127.0.0.1:9")
    [(name, reason)] = availability.missing(["retinamnist"], tmp_path, None)
    assert name == "retinamnist"
    assert reason.startswith("retinamnist: 127.0.0.1:9 does not answer (ConnectionError)")
    assert "LATENT_ANATOMY_MIRROR" in reason and "\n" not in reason


def test_nobody_is_asked_about_a_file_that_is_here(publisher, tmp_path):
    publisher("http://127.0.0.1:9")
    (tmp_path / "retinamnist").mkdir()
    (tmp_path / "retinamnist" / "retinamnist.npz").touch()
    assert availability.missing(["retinamnist"], tmp_path, None) == []


def test_phantoms_can_always_be_had_and_unpublished_files_only_from_a_mirror(tmp_path):
    names = [name for name in datasets.NAMES if name.startswith("phantom-")]
    assert availability.missing(names, tmp_path, None) == []
    [(name, reason)] = availability.missing(["breastmnist-resaved"], tmp_path, None)
    assert name == "breastmnist-resaved" and "BreastMNIST_resaved.npz" in reason
