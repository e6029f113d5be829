"""One process at a time makes an output; and what one that was killed left half done is swept away.

The lock is flock's, on a hidden file beside the output, so it holds for orphans too, and the kernel takes it
back when a process dies, however it dies. The file goes when the output is made; one that a kill left says
nothing, and goes the next time.
"""

import fcntl
import inspect
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path


@contextmanager
def alone(out: Path, *more: Path) -> Iterator[None]:
    """Hold the lock of the output `out`, a file or a folder, and sweep what a kill left beside it and `more`.

    BlockingIOError, naming the process, when another one is making `out`.
    """
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    path = out.with_name(f".{out.name}.lock")
    handle = _locked(path, out)
    try:
        for each in (out, *map(Path, more)):
            sweep(each)
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held, so that nobody's is taken away
        os.close(handle)


def making(*names: str) -> Callable:
    """Decorator of a job: alone while it makes the outputs in these parameters, the first locked."""

    def decorate(run: Callable) -> Callable:
        signature = inspect.signature(run)

        @wraps(run)
        def locked(*arguments, **options):
            given = signature.bind(*arguments, **options).arguments
            with alone(*(given[name] for name in names)):
                return run(*arguments, **options)

        return locked

    return decorate


def sweep(out: Path) -> None:
    """Remove temporary files of a write of `out`, or into the folder `out`, that was killed.

    Only for who is alone there.
    """
    beside = out.parent.glob(f".{out.name}.*.part") if out.parent.is_dir() else ()
    within = out.rglob(".*.*.part") if out.is_dir() else ()
    for left in [*beside, *within]:
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def _locked(path: Path, out: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(handle, 20, 0).decode(errors="replace").strip() or "?"
            os.close(handle)
            raise BlockingIOError(
                f"{out}: expected to make it alone, found another process, {holder}, that makes it: wait "
                "until it ends, or stop it"
            ) from error
        if _lies_at(handle, path):
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
            return handle
        os.close(handle)  # whoever held it has taken the file away in between


def _lies_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False
