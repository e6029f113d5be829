"""Down the chains, from what is shown to the raw files; see `prove`."""

from collections.abc import Callable, Iterable

from latent_anatomy.audit import raw_files
from latent_anatomy.audit.checks import Checks
from latent_anatomy.audit.links import Link, State, listed
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.pipeline import layout, layout_of_volumes
from latent_anatomy.pipeline.layout import PAIRED_TESTS, Artefact
from latent_anatomy.provenance.formats import read_passport


class Walk:
    """Goes down the chains, to each artefact once; `links` has what was found, by the artefacts' paths."""

    def __init__(self, checks: Checks, say: Callable[[str], None] = lambda path: None) -> None:
        self.checks, self.say = checks, say
        self.links: dict[str, list[Link]] = {}
        self.artefacts: dict[str, Artefact] = {}
        self._chains: dict[str, list[str]] = {}

    def down(self, artefact: Artefact) -> list[str]:
        """The paths of the artefact and of all that it is made of, so far as its chain is here."""
        if artefact.path not in self._chains:
            artefact = self._whole(artefact)
            here = self._here(artefact)
            self.say(artefact.path)
            self.artefacts[artefact.path] = artefact
            self.links[artefact.path] = self._look(artefact, here)
            below = artefact.made_of if here or artefact.says["job"] == PAIRED_TESTS else ()
            chain = [artefact.path, *(path for each in below for path in self.down(each))]
            self._chains[artefact.path] = list(dict.fromkeys(chain))
        return self._chains[artefact.path]

    def _look(self, artefact: Artefact, here: bool) -> list[Link]:
        if artefact.job.startswith("raw/"):
            return raw_files.check(self.checks.files, self.checks.jobs, artefact)
        links = self.checks.artefact(artefact, here)
        if not here and artefact.job.startswith(("evaluate/", f"{PAIRED_TESTS}/")):
            metrics, jobs = artefact.outputs["metrics"], self.checks.jobs
            if self.checks.files.here(metrics) and metrics not in jobs.history.results:
                said = "neither is it committed nor what it was made of here, so that nothing holds it"
                links.append(Link(artefact.path, "history", State.UNPROVEN, said, jobs.make(artefact)))
        return links

    def gate(self, dataset: str) -> Artefact:
        """The table of who passed, of a data set of volumes."""
        return layout_of_volumes.gate(datasets.find(dataset), self.checks.jobs.excluded(dataset))

    def _whole(self, artefact: Artefact) -> Artefact:
        """The artefact, also where it is one of volumes, with all that it is made of."""
        dataset = artefact.says.get("dataset")
        if artefact.job == f"slice/{dataset}" and layout.of_volumes(dataset):
            return layout_of_volumes.slices(datasets.find(dataset), self.checks.jobs.excluded(dataset))
        return artefact

    def _here(self, artefact: Artefact) -> bool:
        """Whether the chain of an artefact is here: of what git brings, something that git does not bring."""
        if artefact.job.startswith("evaluate/"):
            trained = artefact.made_of[0]
            own = [path for role, path in artefact.outputs.items() if role not in ("metrics", "scores")]
            return any(map(self.checks.files.here, [*own, trained.path, *trained.outputs.values()]))
        if artefact.job.startswith("paired-tests/"):
            own = [each.outputs[role] for each in artefact.made_of for role in ("scores", "arrays")]
            return any(map(self.checks.files.here, own))
        if artefact.says.get("job") == "gate":
            below = [layout.slices(artefact.says["dataset"]).path, *(artefact.inputs or {}).values()]
            return any(map(self.checks.files.here, below))
        return not artefact.job.startswith("report/") or self.checks.files.here(artefact.path)

    def report(self, study: str, ledger: str) -> Link:
        """Whether the report of a study shows a ledger."""
        artefact = layout.report(study)
        self.down(artefact)
        path = self.checks.files.root / artefact.path
        if not path.is_file():
            return self.links[artefact.path][0]
        try:
            shown = read_passport(path)["inputs"]
        except (ValueError, KeyError):
            return Link(artefact.path, "shown", State.HOLDS, "see the report")  # which is broken
        if ledger in shown:
            return Link(artefact.path, "shown", State.HOLDS, f"it shows {ledger}")
        choose = f"choose the data of {ledger} in params.yaml and run snakemake"
        return Link(artefact.path, "shown", State.NOT_HERE, "it shows another ledger", choose)

    def shows(self, study: str, results: Iterable[Artefact]) -> None:
        """Adds a break to the report of a study if it leaves out one of these results of the ledger."""
        artefact, root = layout.report(study), self.checks.files.root
        if not self.checks.files.here(artefact.path):
            return
        try:
            passport = read_passport(root / artefact.path)
            data, shown = passport["job"].get("data"), passport["inputs"]
        except (ValueError, KeyError, AttributeError):
            return  # it is broken already
        made = [each.outputs["metrics"] for each in results]
        left_out = [path for path in made if self.checks.files.here(path) and path not in shown]
        if left_out and data == self.checks.jobs.params.data:
            said = f"expected it to show all results of {data}, found no {listed(left_out)}"
            self.links[artefact.path].append(
                Link(artefact.path, "shown", State.BROKEN, said, self.checks.jobs.make(artefact))
            )
