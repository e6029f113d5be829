# What happens, from raw files to the report. What was chosen: params.yaml. Where and how it runs: profiles/.
import sys

from snakemake.utils import min_version

from latent_anatomy.pipeline import params

min_version("9.0")

# With line and column of what is no YAML, which Snakemake does not tell.
try:
    params.parsed("params.yaml")
except ValueError as error:
    sys.exit(str(error))


configfile: "params.yaml"


# The base on which requirements.lock installs; used only with --software-deployment-method apptainer.
container: "docker://python:3.11-slim"


include: "workflow/rules/common.smk"


rule all:
    input:
        # of data sets too that no study uses
        expand("data/slices/{dataset}.h5", dataset=DATASETS),
        [metrics(study) for study in STUDIES],
        "results/ledger.csv",
        "results/ledger-phantom.csv",
        expand("reports/{study}.html", study=REPORTS),
        "reports/index.html",


include: "workflow/rules/fetch.smk"
include: "workflow/rules/subjects.smk"
include: "workflow/rules/imaging.smk"
include: "workflow/rules/volumes.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"
