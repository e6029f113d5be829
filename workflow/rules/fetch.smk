# Raw files: drawn here (phantoms), or from a mirror folder or their publisher. One rule for each data set,
# because the number of files differs; and for the weights of others that runs are given.
for dataset in map(datasets.find, DATASETS):

    rule:
        name:
            f"raw-{dataset.name}"
        input:
            # A published file that lies there is taken, whoever put it there: its checksum is the proof.
            [f".params/raw/{dataset.name}.json"] if dataset.phantom else [],
        output:
            raw_files(dataset.name),
        log:
            f"logs/raw/{dataset.name}.log",
        resources:
            mem_mb=1000,
            runtime=120,
        params:
            verb="phantom" if dataset.phantom else "fetch",
            dataset=dataset.name,
        shell:
            "latent-anatomy {params.verb} {params.dataset} --out data/raw/{params.dataset} 2>&1 | tee {log} >&2"


for download in {each for given in training_jobs.weights(PARAMS).values() for each in given}:

    rule:
        name:
            f"raw-{download.name}"
        output:
            [f"data/raw/{download.name}/{file.name}" for file in download.files],
        log:
            f"logs/raw/{download.name}.log",
        resources:
            mem_mb=1000,
            runtime=120,
        params:
            download=download.name,
            job=JOBS[f".params/raw/{download.name}.json"],
        shell:
            "latent-anatomy fetch {params.download} --params {params.job}"
            " --out data/raw/{params.download} 2>&1 | tee {log} >&2"
