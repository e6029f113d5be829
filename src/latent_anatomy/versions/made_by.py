"""What the results of two versions were made by: parameters, data, code and environment."""

from latent_anatomy.reports.markup import Html, fold, table, tag
from latent_anatomy.versions import differences
from latent_anatomy.versions.contents import REQUIREMENTS, Content
from latent_anatomy.versions.differences import changes, passport_changes
from latent_anatomy.versions.read import LOCK, SOURCES, changed_sources
from latent_anatomy.versions.sections import ABSENT, NO_DIFFERENCE, Part, counted, listing, several, short

DATA = "data/"
NOTHING = tag("p", "No difference.", "quiet")


def parameters(a: Content, b: Content) -> Part:
    """Keys of params.yaml, and what jobs were run with, which shows defaults that changed in the source."""
    keys = changes(a.params, b.params)
    resolved = passport_changes(a, b, differences.parameters)
    body = listing("params.yaml", "key", keys)
    body += listing("As the jobs were run, defaults included", "parameter", resolved)
    says = counted((len(keys), "key of params.yaml"), (len(resolved), "parameter of jobs"))
    return _part("parameters", "Parameters", says, keys + resolved, body)


def data(a: Content, b: Content) -> Part:
    """Hashes of raw files and slices, and of what was made of them."""
    used = passport_changes(a, b, differences.data)
    made = passport_changes(a, b, differences.made)
    body = listing("As the jobs read them (SHA-256)", "file", used, short)
    recorded = []
    locks = [side.version.outputs for side in (a, b)]
    if None not in locks:
        recorded = changes(
            *({path: md5 for path, md5 in lock.items() if path.startswith(DATA)} for lock in locks)
        )
        body += listing(f"As {LOCK} records them (MD5)", "output", recorded, short)
    else:
        missing = " and ".join(name for name, lock in zip("AB", locks, strict=True) if lock is None)
        body += tag("p", f"No {LOCK} in {missing}: only what the jobs read is compared.", "quiet")
    if made:
        if not (used or recorded):
            body += tag("p", "Raw files and slices: no difference.", "quiet")
        what = f"{several(len(made), 'input')} that other jobs made: checkpoints, values per image"
        body += fold(what, listing("As the jobs read them (SHA-256)", "file", made, short))
    says = counted((len(used) + len(recorded), "file of data"), (len(made), "file made of them"))
    return _part("data", "Data", says, used + recorded + made, body)


def code(a: Content, b: Content) -> Part:
    """Source files with the lines that changed, and the jobs that run other sources."""
    files = changed_sources(a.version, b.version)
    jobs = passport_changes(a, b, differences.source)
    concerned = sorted({job for change in jobs for job in change.where})
    body = Html()
    if files:
        rows = [(tag("code", path), added, removed) for added, removed, path in files]
        body += tag("h3", f"Files of {', '.join(SOURCES)}")
        body += table(("file", "lines added", "lines removed"), rows, numbers=(1, 2))
    if concerned:
        what = f"{several(len(concerned), 'job')} ran other sources"
        body += fold(what, listing("Digest of the sources that a job runs", "sources", jobs, short))
    says = counted((len(files), "file"), (len(concerned), "job with other sources"))
    return _part("code", "Code", says, files + jobs, body)


def environment(a: Content, b: Content) -> Part:
    """Packages that are pinned otherwise, and what the passports say of libraries and device."""
    packages = changes(a.packages, b.packages)
    used = passport_changes(a, b, differences.environment)
    libraries = [change for change in used if change.key != "lock"]
    locks = [change for change in used if change.key == "lock"]
    body = listing(REQUIREMENTS, "package", packages)
    body += listing("As the jobs were run", "library or device", libraries)
    body += listing(f"{REQUIREMENTS} beside the jobs (SHA-256)", "file", locks, _hash_or_none)
    says = counted((len(packages), "package pinned otherwise"), (len(used), "value of passports"))
    return _part("environment", "Environment", says, packages + used, body)


def _hash_or_none(sha256: str | None) -> Html:
    return ABSENT if sha256 in (None, "None") else short(sha256)


def _part(name: str, title: str, says: str, differing: list, body: Html) -> Part:
    if not differing:
        return Part(name, title, NO_DIFFERENCE, False, NOTHING + body)
    return Part(name, title, says, True, body)
