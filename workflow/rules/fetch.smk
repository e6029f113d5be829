# Raw files: drawn here (phantoms), or from a mirror folder or their publisher. One rule for each data set,
# because the number of files differs.
for dataset in map(datasets.find, DATASETS):

    rule:
        name:
            dataset.name if dataset.phantom else f"fetch-{dataset.name}"
        input:
            [f".params/phantom/{dataset.name}.json"] if dataset.phantom else [],
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
