# What the rules of volumes share: who is prepared, and where the files of the subjects lie.
def subjects_of(dataset):
    """The subjects that params.yaml does not leave out, by name."""
    left_out = imaging_steps.excluded(PARAMS.imaging, dataset.name)
    return {each.name: each for each in dataset.subjects if each.name not in left_out}


def raw_of(dataset, *kinds):
    """Input function: a subject's raw files, of its `images`, its `masks` or both."""
    subjects = subjects_of(dataset)
    return lambda wildcards: [
        f"data/raw/{dataset.name}/{file}"
        for kind in kinds
        for file in getattr(subjects[wildcards.subject], kind).values()
    ]


def subject_steps(dataset):
    """The steps that each subject goes through by itself."""
    return [step for step in imaging_steps.steps(dataset) if step not in ("gate", "slab")]


def of_subjects(dataset, files):
    """Files, with a folder before them or without, in every subject's folder of a data set."""
    names = subjects_of(datasets.find(dataset))
    return expand(f"data/interim/{dataset}/{{subject}}/{{file}}", subject=names, file=files)


def steps_of_subjects(dataset, file):
    """The same file of every step and subject of a data set."""
    return of_subjects(dataset, [f"{step}/{file}" for step in subject_steps(dataset)])


def sliced_files(wildcards):
    """What the slices of a data set are cut from."""
    dataset = datasets.find(wildcards.dataset)
    masks = {name for subject in dataset.subjects for name in subject.masks} - {"brain"}
    drawn = [f"register/{name}.nii.gz" for name in sorted(masks)]
    files = [f"normalise/{dataset.sliced}.nii.gz", "strip/brain.nii.gz", *drawn]
    return of_subjects(wildcards.dataset, files)


def option(name, words):
    return [each for word in words for each in (f"--{name}", word)]
