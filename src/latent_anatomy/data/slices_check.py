"""Does a table of slices keep to the schema that `slices` describes, and to itself?"""

import numpy as np

from latent_anatomy.data.slices import COLUMNS, NOT_DELINEATED, OF_SUBJECT, SPLITS, Slices, defect


def check(slices: Slices, where: object) -> None:
    """Raise ValueError, beginning with `where`, for the first thing in `slices` that breaks the schema."""
    columns, count = slices.columns(), len(slices)
    for name, (dimensions, types) in COLUMNS.items():
        if name not in columns:
            continue
        values = columns[name]
        found = "text" if values.dtype.kind == "U" else str(values.dtype)
        expected = f"{name} of {dimensions} dimension(s) and type {' or '.join(types)}"
        if values.ndim != dimensions or found not in types:
            raise defect(
                where, expected, f"shape {values.shape} and type {found}", "convert it before writing"
            )
        if name != "boxes" and len(values) != count:
            raise defect(
                where, f"{count} rows of {name}, as of images", len(values), "give one for each image"
            )
    if 0 in slices.images.shape:
        raise defect(where, "at least one image of one pixel", slices.images.shape, "check the raw data")
    _check_values(slices, where)
    _check_annotations(slices, where)
    _check_subjects(slices, where)


def _check_values(slices: Slices, where: object) -> None:
    images = slices.images
    if images.dtype == np.float32 and not (images.min() >= 0 and images.max() <= 1):  # NaN fails this too
        found = "NaN" if np.isnan(images).any() else f"{images.min():g} to {images.max():g}"
        raise defect(where, "float32 images within [0, 1]", found, "normalise the images")
    for name in ("subject", "split", "modality", "phase", "site"):
        if name in slices.columns() and (getattr(slices, name) == "").any():
            raise defect(where, f"a {name} for every slice", "an empty one", "name it")
    unknown = sorted(set(np.unique(slices.split)) - set(SPLITS))
    if unknown:
        raise defect(where, f"splits among {', '.join(SPLITS)}", ", ".join(unknown), "rename them")
    pairs = np.unique(np.stack([slices.subject, slices.split]), axis=1)
    names, uses = np.unique(pairs[0], return_counts=True)
    if (uses > 1).any():
        shared = ", ".join(names[uses > 1][:3])
        raise defect(where, "every subject in one split", f"{shared} in more than one", "split by subject")
    if (slices.slice < 0).any():
        raise defect(where, "slice positions from 0", slices.slice.min(), "count slices from 0")
    spacing = slices.spacing_mm
    if spacing is not None and not (
        spacing.shape[1] == 3 and np.isfinite(spacing).all() and (spacing > 0).all()
    ):
        found = f"shape {spacing.shape}, least value {spacing.min(initial=np.inf):g}"
        raise defect(
            where, "three positive distances in mm for every slice", found, "leave unknown spacing out"
        )


def _check_annotations(slices: Slices, where: object) -> None:
    count, _, height, width = slices.images.shape
    labels, masks, boxes, pair = slices.labels, slices.masks, slices.boxes, slices.pair
    if slices.classes < 0 or (labels is None) != (slices.classes == 0):
        found = f"{slices.classes} classes and {'no' if labels is None else 'the'} labels"
        raise defect(where, "labels and their number of classes, or neither", found, "give both or none")
    if labels is not None and not (labels.min() >= -1 and labels.max() < slices.classes):
        expected = f"labels 0..{slices.classes - 1}, or -1 where not known"
        raise defect(where, expected, f"{labels.min()}..{labels.max()}", "check the raw labels")
    if masks is not None:
        shape = (count, len(slices.mask_names), height, width)
        if masks.shape != shape:
            raise defect(where, f"masks of shape {shape}", masks.shape, "one plane per mask name")
        planes = masks.reshape(count, -1, height * width)
        delineated = (planes <= 1).all(axis=2) | (planes == NOT_DELINEATED).all(axis=2)
        if not delineated.all():
            row, plane = np.argwhere(~delineated)[0]
            found = f"other values in slice {row}, {slices.mask_names[plane]}"
            raise defect(where, "mask planes of 0 and 1, or wholly 255", found, "one plane per structure")
    if boxes is not None:
        expected = f"boxes (slice, left, top, width, height, class) inside {width} x {height} pixels"
        if boxes.shape[1] != 6:
            raise defect(where, expected, f"{boxes.shape[1]} numbers for a box", "give six")
        row, left, top, wide, high, kind = boxes.T.astype(np.int64)
        inside = (boxes >= 0).all(axis=1) & (row < count) & (kind < len(slices.box_names))
        inside &= (wide > 0) & (high > 0) & (left + wide <= width) & (top + high <= height)
        if not inside.all():
            raise defect(where, expected, boxes[~inside][0].tolist(), "clip the boxes to their images")
    if pair is not None:
        rows = np.flatnonzero(pair >= 0)
        if pair.min() < -1 or pair.max() >= count or (pair[rows] == rows).any():
            expected = f"pair rows 0..{count - 1} other than the row itself, or -1"
            raise defect(where, expected, f"{pair.min()}..{pair.max()}", "index rows of this file")
        if (slices.subject[pair[rows]] != slices.subject[rows]).any():
            raise defect(
                where, "pairs within one subject", "a pair of two", "pair slices of the same anatomy"
            )


def _check_subjects(slices: Slices, where: object) -> None:
    """What is known of subjects: the same on all their slices, and free of contradictions."""
    time, event = slices.time, slices.event
    if (time is None) != (event is None):
        found = "time alone" if event is None else "event alone"
        raise defect(where, "time and event, or neither", found, "give both or none")
    if time is not None:
        wrong = time[~(np.isnan(time) | (np.isfinite(time) & (time > 0)))]
        if wrong.size:
            expected = "finite times in days above 0, or NaN where not known"
            raise defect(where, expected, f"{wrong[0]:g}", "count from the day of the image")
        if event.max() > 1:
            raise defect(where, "events 0 or 1", event.max(), "1 where it happened, else 0")
        unknown = np.isnan(time) & (event == 1)
        if unknown.any():
            found = f"one of {slices.subject[unknown][0]}"
            raise defect(where, "no event without a time", found, "give its time, or event 0")
    _check_covariates(slices, where)
    _, first, row = np.unique(slices.subject, return_index=True, return_inverse=True)
    for name in OF_SUBJECT:
        if (values := slices.columns().get(name)) is None:
            continue
        own = values[first][row]
        unlike = (values != own) & ((values == values) | (own == own))  # NaN is like NaN
        if unlike.any():
            who = slices.subject[unlike.reshape(len(slices), -1).any(axis=1)][0]
            raise defect(where, f"one {name} of every subject", f"two of {who}", "give all its slices one")


def _check_covariates(slices: Slices, where: object) -> None:
    values, names = slices.covariates, slices.covariate_names
    columns = 0 if values is None else values.shape[1]
    if len(names) != columns or len(set(names)) != columns or not all(names):
        expected = f"{columns} names of covariates, each once"
        raise defect(where, expected, ", ".join(map(repr, names)) or "none", "name every column")
    if columns and (infinite := np.isinf(values).any(axis=0)).any():
        found = f"an infinite {names[infinite.argmax()]}"
        raise defect(where, "covariates that are numbers, or NaN where not known", found, "correct it")
