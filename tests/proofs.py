"""What tests say of where an artefact comes from, as its job would."""


def sliced(dataset: str) -> dict:
    """A passport of slices of a data set, not yet sealed."""
    return {"inputs": {}, "job": {"job": "slice", "dataset": dataset}}
