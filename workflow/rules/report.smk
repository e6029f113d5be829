# Paper against ours: the ledger of real data (in git), that of phantoms; and each study's report as HTML.
rule ledger:
    input:
        papers=list(PAPERS.values()),
        params=expand(".params/ledger/{study}.json", study=PAPERS),
        metrics=[metrics(study) + committed_metrics(study) for study in PAPERS],
    output:
        real="results/ledger.csv",
        phantom="results/ledger-phantom.csv",
    log:
        "logs/ledger.log",
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        papers=lambda wildcards, input: option("papers", input.papers),
    shell:
        "latent-anatomy ledger {params.papers:q} --out {output.real:q} --phantom-out {output.phantom:q} {input.metrics:q}"
        " 2>&1 | tee {log:q} >&2"


REPORT = (
    "latent-anatomy report --params {params.job:q} --notebook {input.notebook:q}"
    " --parameters {params.notebook:q} --out {output:q} 2>&1 | tee {log:q} >&2"
)


rule report:
    input:
        notebook=lambda wildcards: reports.notebook(wildcards.study),
        params=".params/report/{study}.json",
        papers=lambda wildcards: PAPERS.get(wildcards.study, []),
        ledger=lambda wildcards: LEDGER if wildcards.study in PAPERS else [],
        metrics=lambda wildcards: shown_metrics(wildcards.study),
        arrays=lambda wildcards: of_runs(
            f"results/{JOB}/arrays.npz", wildcards.study, CHOSEN[wildcards.study].tested
        ),
        histories=lambda wildcards: of_runs(
            f"models/{JOB}/history.csv", wildcards.study, CHOSEN[wildcards.study].trained
        ),
    output:
        "reports/{study}.html",
    log:
        "logs/report/{study}.log",
    benchmark:
        "benchmarks/report/{study}.tsv"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        job=job(".params/report/{study}.json"),
        notebook=notebook_parameters,
    shell:
        REPORT


rule index:
    input:
        papers=list(PAPERS.values()),
        ledgers=["results/ledger.csv", "results/ledger-phantom.csv"] if PAPERS else [],
        tables=expand("results/imaging/{dataset}/qc.csv", dataset=[each.name for each in VOLUMES]),
        reports=expand("reports/{study}.html", study=reports.shown(PARAMS)),
        params=".params/report/index.json",
    output:
        "reports/index.html",
    log:
        "logs/report/index.log",
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        job=job(".params/report/index.json"),
        ledgers=lambda wildcards, input: option("ledger", input.ledgers),
        papers=lambda wildcards, input: option("papers", input.papers),
        tables=lambda wildcards, input: option("qc", input.tables),
        reports=lambda wildcards, input: option("report", input.reports),
    shell:
        "latent-anatomy index --params {params.job:q} {params.ledgers:q} {params.papers:q} {params.tables:q}"
        " {params.reports:q} --out {output:q} 2>&1 | tee {log:q} >&2"


rule qc_report:
    input:
        notebook="notebooks/qc.ipynb",
        params=".params/report/qc.json",
        tables=expand("results/imaging/{dataset}/qc.csv", dataset=[each.name for each in VOLUMES]),
        pictures=PICTURES,
    output:
        "reports/qc.html",
    log:
        "logs/report/qc.log",
    benchmark:
        "benchmarks/report/qc.tsv"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        job=job(".params/report/qc.json"),
        notebook=lambda wildcards, input: json.dumps(
            {"qc_files": list(input.tables), "picture_files": list(input.pictures)}
        ),
    shell:
        REPORT
