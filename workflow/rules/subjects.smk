# What the rules of volumes share: who is prepared, in which steps, and of which files.
LEFT_OUT = {each.name: imaging_steps.excluded(PARAMS.imaging, each.name) for each in VOLUMES}
# Data set -> subject -> step -> its artefact, of those whom params.yaml does not leave out.
CHAINS = {each.name: layout_of_volumes.steps(each, LEFT_OUT[each.name]) for each in VOLUMES}
PICTURES = [
    step.outputs[volume_files.PICTURE]
    for subjects in CHAINS.values()
    for chain in subjects.values()
    for step in chain.values()
]


def inputs_of(dataset, step):
    """Input function: what a step of a subject reads."""
    return lambda wildcards: list(CHAINS[dataset][wildcards.subject][step].inputs.values())


def inputs_of_all(artefact):
    """Input function: what all subjects of a data set give to its `gate` or its `slices`."""
    return lambda wildcards: list(
        artefact(datasets.find(wildcards.dataset), LEFT_OUT[wildcards.dataset]).inputs.values()
    )


def files_of_nobody(dataset):
    """The raw files that are no subject's; none of what is drawn, which is drawn as a whole."""
    source = datasets.find(dataset)
    names = () if source.phantom else raw_jobs.of_nobody(source)
    return [f"data/raw/{dataset}/{name}" for name in names]


def option(name, words):
    return [each for word in words for each in (f"--{name}", word)]
