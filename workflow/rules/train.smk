# Training. One thread: many small trainings side by side are faster than one after the other with many
# threads, and the number of threads can change the last bit of a result. What a killed training needs to
# go on lies in .scratch, because its outputs are removed.
rule train:
    input:
        unpack(made_of(layout.model)),
        params=f".params/train/{JOB}.json",
    output:
        model=f"models/{JOB}/model.safetensors",
        history=f"models/{JOB}/history.csv",
    log:
        f"logs/train/{JOB}.log",
    benchmark:
        f"benchmarks/train/{JOB}.tsv"
    threads: 1
    resources:
        gpu=GPU,
        mem_mb=memory,
        runtime=1440,
    params:
        job=job(f".params/train/{JOB}.json"),
        on=lambda wildcards, input: options(input, "on"),
    shell:
        "latent-anatomy train --params {params.job:q} --slices {input.slices:q} {params.on:q}"
        " --model {output.model:q} --history {output.history:q} 2>&1 | tee {log:q} >&2"
