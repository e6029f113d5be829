# One HDF5 schema for everything: of images here, of volumes in imaging.smk.
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
    shell:
        "latent-anatomy slice {wildcards.dataset} --raw data/raw/{wildcards.dataset}"
        " --params {input.params} --out {output} 2>&1 | tee {log} >&2"
