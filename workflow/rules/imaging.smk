# From raw volumes to slices in atlas space: one job for each subject and step, so that they run side by side
# and a new subject leaves the others alone. One rule for each data set and step, because the files that a step
# makes have the names of the data set's images and masks. One thread: ITK's sums depend on their number.
for dataset in VOLUMES:
    for step in imaging_steps.of_subject(dataset.name):

        rule:
            name:
                f"{step}-{dataset.name}"
            input:
                inputs_of(dataset.name, step),
                params=f".params/imaging/{dataset.name}/{step}.json",
            output:
                [
                    f"data/interim/{dataset.name}/{{subject}}/{step}/{name}"
                    for name in (*volume_files.files_of(dataset, step), *volume_files.BESIDE)
                ],
            log:
                f"logs/imaging/{dataset.name}/{{subject}}/{step}.log",
            benchmark:
                f"benchmarks/imaging/{dataset.name}/{{subject}}/{step}.tsv"
            resources:
                mem_mb=4000 if step == "strip" else 3000,
                runtime=30 if step == "normalise" else 60,
            params:
                job=job(f".params/imaging/{dataset.name}/{step}.json"),
                step=step,
                dataset=dataset.name,
            shell:
                "latent-anatomy image {params.step:q} {params.dataset:q} {wildcards.subject:q}"
                " --params {params.job:q} --raw data/raw/{params.dataset:q}"
                " --interim data/interim/{params.dataset:q} 2>&1 | tee {log:q} >&2"
