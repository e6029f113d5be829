# Evaluation of each trained method, and paired tests between the runs of a study.
rule evaluate:
    input:
        unpack(made_of(layout.result)),
        params=f".params/evaluate/{JOB}.json",
    output:
        metrics=f"results/{JOB}/metrics.json",
        scores=f"results/{JOB}/scores.npz",
        arrays=f"results/{JOB}/arrays.npz",
        tables=directory(f"results/{JOB}/tables"),
        passport=f"results/{JOB}/passport.json",
    log:
        f"logs/evaluate/{JOB}.log",
    benchmark:
        f"benchmarks/evaluate/{JOB}.tsv"
    threads: 1
    resources:
        gpu=GPU,
        mem_mb=memory,
        runtime=240,
    params:
        job=job(f".params/evaluate/{JOB}.json"),
        trained_on=lambda wildcards, input: options(input, "trained_on"),
    shell:
        "latent-anatomy evaluate --params {params.job:q} --slices {input.slices:q} --model {input.model:q}"
        " --metrics {output.metrics:q} --scores {output.scores:q} --arrays {output.arrays:q} --tables {output.tables:q}"
        " --passport {output.passport:q} {params.trained_on:q} 2>&1 | tee {log:q} >&2"


rule paired_tests:
    input:
        scores=lambda wildcards: of_runs(
            f"results/{JOB}/scores.npz",
            wildcards.study,
            [wildcards.dataset],
            evaluation_jobs.compared(PARAMS, wildcards.study, wildcards.dataset),
        ),
        params=".params/paired-tests/{study}/{dataset}.json",
    output:
        metrics="results/{study}/comparison/{dataset}/metrics.json",
        passport="results/{study}/comparison/{dataset}/passport.json",
    log:
        "logs/paired-tests/{study}/{dataset}.log",
    benchmark:
        "benchmarks/paired-tests/{study}/{dataset}.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        job=job(".params/paired-tests/{study}/{dataset}.json"),
    shell:
        "latent-anatomy paired-tests --params {params.job:q}"
        " --results results/{wildcards.study:q}/{wildcards.dataset:q}"
        " --metrics {output.metrics:q} --passport {output.passport:q} 2>&1 | tee {log:q} >&2"
