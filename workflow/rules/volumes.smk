# All subjects of a data set of volumes together: who passes the gate, and their slices.
def subject_steps(dataset):
    """The steps that each subject goes through by itself."""
    return [step for step in preparation.steps(dataset) if step not in ("gate", "slab")]


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


rule gate:
    input:
        numbers=lambda wildcards: steps_of_subjects(wildcards.dataset, "numbers.json"),
        params=".params/imaging/{dataset}/gate.json",
    output:
        table="results/imaging/{dataset}/qc.csv",
        passport="results/imaging/{dataset}/passport.json",
    log:
        "logs/imaging/{dataset}/gate.log",
    resources:
        mem_mb=500,
        runtime=10,
    params:
        subjects=lambda wildcards: option("subject", subjects_of(datasets.find(wildcards.dataset))),
        steps=lambda wildcards: option("step", subject_steps(wildcards.dataset)),
    shell:
        "latent-anatomy image gate --params {input.params} --interim data/interim/{wildcards.dataset}"
        " {params.subjects:q} {params.steps:q} --out {output.table} --passport {output.passport}"
        " 2>&1 | tee {log} >&2"


rule slab:
    input:
        sliced_files,
        qc="results/imaging/{dataset}/qc.csv",
        params=".params/slice/{dataset}.json",
    output:
        "data/slices/{dataset}.h5",
    log:
        "logs/slice/{dataset}.log",
    benchmark:
        "benchmarks/slice/{dataset}.tsv"
    wildcard_constraints:
        dataset="|".join(re.escape(each.name) for each in VOLUMES) or "(?!)",
    resources:
        mem_mb=4000,
        runtime=30,
    shell:
        "latent-anatomy image slab {wildcards.dataset} --params {input.params} --qc {input.qc}"
        " --interim data/interim/{wildcards.dataset} --out {output} 2>&1 | tee {log} >&2"
