# All subjects of a data set of volumes together: who passes the gate, and their slices.
rule gate:
    input:
        numbers=inputs_of_all(layout_of_volumes.gate),
        # Whom they are of says the folder, which is to be as complete as the one that it was copied from.
        table=lambda wildcards: files_of_nobody(wildcards.dataset),
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
        job=job(".params/imaging/{dataset}/gate.json"),
        subjects=lambda wildcards: option("subject", CHAINS[wildcards.dataset]),
        steps=lambda wildcards: option("step", imaging_steps.of_subject(wildcards.dataset)),
    shell:
        "latent-anatomy image gate --params {params.job:q} --interim data/interim/{wildcards.dataset:q}"
        " {params.subjects:q} {params.steps:q} --out {output.table:q} --passport {output.passport:q}"
        " 2>&1 | tee {log:q} >&2"


rule slab:
    input:
        inputs_of_all(layout_of_volumes.slices),
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
    params:
        job=job(".params/slice/{dataset}.json"),
    shell:
        "latent-anatomy image slab {wildcards.dataset:q} --params {params.job:q}"
        " --qc results/imaging/{wildcards.dataset:q}/qc.csv --interim data/interim/{wildcards.dataset:q}"
        " --out {output:q} 2>&1 | tee {log:q} >&2"
