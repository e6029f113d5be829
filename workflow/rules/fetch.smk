# Raw files: drawn here (phantoms), or from a mirror folder or their publisher. One rule for each data set,
# because the number of files differs, and of volumes one for each subject, so that a new one leaves the others
# as they are; and for the weights of others that runs and protocols are given.
for dataset in map(datasets.find, DATASETS):
    BROUGHT = raw_jobs.of(dataset)
    for name, files in BROUGHT.items():

        rule:
            name:
                name
            input:
                # A published file that lies there is taken, whoever put it there: its checksum is the proof.
                [f".params/raw/{dataset.name}.json"] if dataset.phantom else [],
            output:
                [f"data/raw/{dataset.name}/{file}" for file in files],
            log:
                f"logs/raw/{name}.log",
            resources:
                mem_mb=1000,
                runtime=120,
            params:
                verb="phantom" if dataset.phantom else "fetch",
                dataset=dataset.name,
                files=[] if dataset.phantom else [word for file in files for word in ("--file", file)],
                # Of the user's folder, of which SHA256SUMS says what each is.
                checksums=[] if dataset.phantom else raw_jobs.checksums(dataset, files),
            shell:
                "latent-anatomy {params.verb:q} {params.dataset:q} --out data/raw/{params.dataset:q}"
                " {params.files:q} 2>&1 | tee {log:q} >&2"

    if raw_jobs.whole(dataset) not in BROUGHT:

        rule:
            name:
                raw_jobs.whole(dataset)
            input:
                raw_files(dataset.name),


for download in weights.downloads(PARAMS):

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
            "latent-anatomy fetch {params.download:q} --params {params.job:q}"
            " --out data/raw/{params.download:q} 2>&1 | tee {log:q} >&2"
