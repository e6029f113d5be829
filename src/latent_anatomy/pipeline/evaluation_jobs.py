"""What an evaluation asks: its protocols with their settings, and the weights of others that these need."""

from latent_anatomy.data.cohorts import dataset_of
from latent_anatomy.data.download import Download
from latent_anatomy.evaluation import registry as protocols
from latent_anatomy.pipeline import training_jobs
from latent_anatomy.pipeline.params import Params, ParamsError, typed


def asked(params: Params, study: str, run: str, dataset: str) -> dict[str, dict]:
    """Protocol -> its settings, complete, of all that a run is asked on a data set or cohort."""
    for protocol in params.studies[study].evaluation:
        if protocol not in protocols.names():
            raise ParamsError(
                f"params.yaml: studies.{study}.evaluation: expected protocols among "
                f"{', '.join(protocols.names())}, found {protocol!r}: correct it"
            )
    found = {each: _settings(params, study, each, run, dataset) for each in params.studies[study].evaluation}
    return {protocol: settings for protocol, settings in found.items() if settings is not None}


def part(params: Params, study: str, run: str, dataset: str) -> int | None:
    """Of how many test subjects a run is asked; None: of all."""
    changes = params.collection.studies[study].changes
    counts = [each.test_subjects for each in changes if each.test_subjects and each.concerns(run, dataset)]
    return counts[-1] if counts else None


def compared(params: Params, study: str, dataset: str) -> list[str]:
    """The runs that are tested against each other: those that were asked of all test subjects."""
    runs = params.collection.studies[study].runs(dataset, params.studies[study].runs)
    return [run for run in runs if part(params, study, run, dataset) is None]


def weights(params: Params) -> dict[tuple[str, str], list[Download]]:
    """Study and protocol -> what it is given of others, for those of the collection that are given any."""
    given: dict[tuple[str, str], dict[Download, None]] = {}
    for study, chosen in params.chosen.items():
        known = set(protocols.names()).intersection(params.studies[study].evaluation)
        for protocol in sorted(filter(protocols.takes_weights, known)):
            for dataset in chosen.tested:
                for run in chosen.runs(dataset, params.studies[study].runs):
                    settings = _settings(params, study, protocol, run, dataset)
                    needed = () if settings is None else protocols.weights(protocol, settings)
                    given.setdefault((study, protocol), {}).update(dict.fromkeys(needed))
    return {place: list(downloads) for place, downloads in given.items() if downloads}


def downloads(params: Params) -> list[Download]:
    """All that trainings and evaluations of the collection are given of others, each once."""
    given = (*training_jobs.weights(params).values(), *weights(params).values())
    return list(dict.fromkeys(each for some in given for each in some))


def _settings(params: Params, study: str, protocol: str, run: str, dataset: str) -> dict | None:
    """The settings of one protocol, None where the collection does not ask it on this data set."""
    chosen, block = params.collection.studies[study], params.studies[study].evaluation[protocol]
    here, model = f"collections.{params.data}.studies.{study}", protocols.load(protocol).Params
    settings = typed(model, block, f"studies.{study}.evaluation.{protocol}")
    if protocol in chosen.evaluation:
        block = block | chosen.evaluation[protocol]
        if {dataset, dataset_of(dataset)}.isdisjoint(block.pop("datasets", chosen.tested)):
            return None
        settings = typed(model, block, f"{here}.evaluation.{protocol}")
    for change in chosen.changes:
        if protocol in change.evaluation and change.concerns(run, dataset):
            block = block | change.evaluation[protocol]
            settings = typed(model, block, f"{here}.changes.evaluation.{protocol}")
    return settings
