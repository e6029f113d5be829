# From raw volumes to slices in atlas space: one job for each subject and step, so that they run side by side
# and a new subject leaves the others alone. One set of rules for each data set, because the files that a step
# makes have the names of the data set's images and masks. One thread: ITK's sums depend on their number.
IMAGE = (
    "latent-anatomy image {params.step} {params.dataset} {wildcards.subject:q} --params {input.params}"
    " --raw data/raw/{params.dataset} --interim data/interim/{params.dataset} 2>&1 | tee {log} >&2"
)


def volumes_in(step, names):
    """The volumes of a step in a subject's folder of the data set that the loop is at."""
    return [f"{FOLDER}/{step}/{name}.nii.gz" for name in names]


def beside(step):
    """What every step leaves beside its volumes."""
    return [f"{FOLDER}/{step}/{name}" for name in ("picture.png", "numbers.json", "passport.json")]


for dataset in VOLUMES:
    STEPS = imaging_steps.steps(dataset.name)
    IMAGES = list(dataset.subjects[0].images)
    OTHERS = [name for name in IMAGES if name != dataset.sliced]
    MASKS = sorted({name for subject in dataset.subjects for name in subject.masks})
    FOLDER = f"data/interim/{dataset.name}/{{subject}}"
    SUBJECT_LOG = f"logs/imaging/{dataset.name}/{{subject}}"
    TIMES = f"benchmarks/imaging/{dataset.name}/{{subject}}"
    # What the publisher has prepared enters at the second step.
    PREPARED = "bias" not in STEPS
    TRANSFORMS = [f"{FOLDER}/coregister/{name}.txt" for name in OTHERS if "coregister" in STEPS]

    if not PREPARED:

        rule:
            name:
                f"bias-{dataset.name}"
            input:
                raw_of(dataset, "images"),
                params=f".params/imaging/{dataset.name}/bias.json",
            output:
                volumes_in("bias", IMAGES),
                beside("bias"),
            log:
                f"{SUBJECT_LOG}/bias.log",
            benchmark:
                f"{TIMES}/bias.tsv"
            resources:
                mem_mb=3000,
                runtime=60,
            params:
                step="bias",
                dataset=dataset.name,
            shell:
                IMAGE

    if TRANSFORMS:

        rule:
            name:
                f"coregister-{dataset.name}"
            input:
                volumes_in("bias", IMAGES),
                params=f".params/imaging/{dataset.name}/coregister.json",
            output:
                TRANSFORMS,
                beside("coregister"),
            log:
                f"{SUBJECT_LOG}/coregister.log",
            benchmark:
                f"{TIMES}/coregister.tsv"
            resources:
                mem_mb=3000,
                runtime=60,
            params:
                step="coregister",
                dataset=dataset.name,
            shell:
                IMAGE

    rule:
        name:
            f"register-{dataset.name}"
        input:
            raw_of(dataset, "images", "masks") if PREPARED else raw_of(dataset, "masks"),
            [] if PREPARED else volumes_in("bias", IMAGES),
            TRANSFORMS,
            params=f".params/imaging/{dataset.name}/register.json",
        output:
            f"{FOLDER}/register/to_atlas.txt",
            volumes_in("register", IMAGES + MASKS),
            beside("register"),
        log:
            f"{SUBJECT_LOG}/register.log",
        benchmark:
            f"{TIMES}/register.tsv"
        resources:
            mem_mb=3000,
            runtime=60,
        params:
            step="register",
            dataset=dataset.name,
        shell:
            IMAGE

    rule:
        name:
            f"strip-{dataset.name}"
        input:
            volumes_in("register", [dataset.guide, *(name for name in MASKS if name == "brain")]),
            params=f".params/imaging/{dataset.name}/strip.json",
        output:
            volumes_in("strip", ["brain"]),
            beside("strip"),
        log:
            f"{SUBJECT_LOG}/strip.log",
        benchmark:
            f"{TIMES}/strip.tsv"
        resources:
            mem_mb=4000,
            runtime=60,
        params:
            step="strip",
            dataset=dataset.name,
        shell:
            IMAGE

    rule:
        name:
            f"normalise-{dataset.name}"
        input:
            volumes_in("register", [dataset.sliced]),
            volumes_in("strip", ["brain"]),
            params=f".params/imaging/{dataset.name}/normalise.json",
        output:
            volumes_in("normalise", [dataset.sliced]),
            beside("normalise"),
        log:
            f"{SUBJECT_LOG}/normalise.log",
        benchmark:
            f"{TIMES}/normalise.tsv"
        resources:
            mem_mb=3000,
            runtime=30,
        params:
            step="normalise",
            dataset=dataset.name,
        shell:
            IMAGE
