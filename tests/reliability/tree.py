"""All that a project has made, file by file, and how it differs from what it should be."""

from pathlib import Path

from latent_anatomy.provenance.files import sha256_file

FOLDERS = ("data", "models", "results", "reports", ".params", ".scratch")


def snapshot(root: Path) -> dict[str, str]:
    """Path below `root` -> SHA-256, of a folder "folder"."""
    paths = [path for name in FOLDERS for path in (root / name).rglob("*")]
    return {
        path.relative_to(root).as_posix(): "folder" if path.is_dir() else sha256_file(path)
        for path in paths
        if path.name != ".snakemake_timestamp"
    }


def differences(expected: dict[str, str], found: dict[str, str]) -> tuple[str, str]:
    """The outcome, and a file that it is about."""
    both = expected.keys() & found.keys()
    for outcome, names in (
        ("wrong", [name for name in both if expected[name] != found[name]]),
        ("lost", expected.keys() - found.keys()),
        ("left over", found.keys() - expected.keys()),
    ):
        if names:
            return outcome, ", ".join(sorted(names)[:3])
    return "as before", ""
