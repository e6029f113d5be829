"""Figures of what was found in single images by several methods (Bercea et al. 2024, Figures 3 to 5).

As in `figures`: each function takes numbers and returns a matplotlib figure; none reads a file.
"""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from latent_anatomy.reports.figures import COLOURS, PANEL

ROWS = ("reconstruction", "map", "segmentation")
MAPS = {"map": "inferno"}  # of colour; the others are grey
SCALE = 0.55  # of a panel


def cases(images: NDArray, boxes: NDArray, found: Mapping[str, Mapping[str, NDArray]]) -> Figure:
    """A block of rows for each case: what each method redraws, its map, and the map where it is cut.

    images, boxes (n, C, H, W) uint8: the cases, and the outlines of their boxes, drawn into the first column;
    found: method -> row of ROWS -> such images; a method that redraws nothing has no "reconstruction".
    Raises ValueError when another row is missing or has other cases.
    """
    count = len(images)
    for method, each in found.items():
        missing = set(ROWS) - {"reconstruction"} - each.keys()
        if missing or any(len(planes) != count for planes in each.values()):
            shapes = {name: np.shape(planes) for name, planes in each.items()}
            raise ValueError(f"{method}: expected {', '.join(ROWS)} of {count} cases, found {shapes}")
    columns, lines = 1 + len(found), count * len(ROWS)
    figure = Figure(figsize=(PANEL * SCALE * columns, PANEL * SCALE * lines + 0.3), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False)
    for panel in axes.flat:
        panel.set(xticks=[], yticks=[], frame_on=False)
    for case in range(count):
        block = axes[case * len(ROWS) : (case + 1) * len(ROWS)]
        _draw(block[0, 0], images[case], "gray")
        if boxes[case].any():
            block[0, 0].contour(boxes[case][0] > 0, levels=[0.5], colors=COLOURS[1], linewidths=0.8)
        for row, name in enumerate(ROWS):
            block[row, 1].set_ylabel(name, fontsize=7)
            for column, each in enumerate(found.values(), start=1):
                if name in each:
                    _draw(block[row, column], each[name][case], MAPS.get(name, "gray"))
    for panel, title in zip(axes[0], ("input", *found), strict=True):
        panel.set_title(title, fontsize=8)
    return figure


def _draw(panel, image: NDArray, colours: str) -> None:
    panel.set_frame_on(True)
    shown = np.moveaxis(image, 0, -1).squeeze()
    panel.imshow(shown, cmap=colours, vmin=0, vmax=255, interpolation="nearest")
