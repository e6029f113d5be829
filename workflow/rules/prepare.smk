# One HDF5 schema for everything: of images and of pools of data sets here, of volumes in volumes.smk.
rule slice:
    input:
        raw=lambda wildcards: raw_files(wildcards.dataset),
        params=".params/slice/{dataset}.json",
    output:
        "data/slices/{dataset}.h5",
    log:
        "logs/slice/{dataset}.log",
    benchmark:
        "benchmarks/slice/{dataset}.tsv"
    wildcard_constraints:
        dataset="|".join(map(re.escape, PARAMS.collection.images)) or "(?!)",
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        job=job(".params/slice/{dataset}.json"),
    shell:
        "latent-anatomy slice {wildcards.dataset:q} --raw data/raw/{wildcards.dataset:q}"
        " --params {params.job:q} --out {output:q} 2>&1 | tee {log:q} >&2"


rule pool:
    input:
        members=lambda wildcards: list(layout.slices(wildcards.dataset).inputs.values()),
        params=".params/slice/{dataset}.json",
    output:
        "data/slices/{dataset}.h5",
    log:
        "logs/slice/{dataset}.log",
    benchmark:
        "benchmarks/slice/{dataset}.tsv"
    wildcard_constraints:
        dataset="|".join(map(re.escape, PARAMS.collection.pools)) or "(?!)",
    resources:
        mem_mb=memory,
        runtime=30,
    params:
        job=job(".params/slice/{dataset}.json"),
    shell:
        "latent-anatomy pool {input.members:q} --params {params.job:q} --out {output:q} 2>&1 | tee {log:q} >&2"
