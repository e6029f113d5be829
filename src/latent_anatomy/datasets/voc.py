"""Boxes as Pascal VOC has them: one XML file for an image."""

from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from latent_anatomy.data.slices import defect
from latent_anatomy.datasets.squares import Box

CORNERS = ("xmin", "ymin", "xmax", "ymax")


class Named(NamedTuple):
    """A box and what it is called."""

    label: str
    box: Box


def read(path: Path) -> list[Named]:
    """The boxes of a file, in its order; ValueError for one that is damaged or has a box without corners."""
    try:
        tree = ElementTree.parse(path)
    except ElementTree.ParseError as error:
        raise defect(path, "XML", f"a damaged file ({error})", "fetch it again") from error
    boxes = []
    for each in tree.iter("object"):
        try:
            left, top, right, bottom = (float(each.findtext(f"bndbox/{name}", "")) for name in CORNERS)
        except ValueError as error:
            found = ElementTree.tostring(each, encoding="unicode").split()
            expected = f"an object with bndbox/{', '.join(CORNERS)}"
            raise defect(path, expected, " ".join(found)[:80], "fetch it again") from error
        boxes.append(Named(each.findtext("name", ""), (left, top, right - left, bottom - top)))
    return boxes


def written(boxes: list[Named]) -> str:
    """The text of a file with these boxes."""
    root = ElementTree.Element("annotation")
    for label, (left, top, width, height) in boxes:
        each = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(each, "name").text = label
        corners = ElementTree.SubElement(each, "bndbox")
        for name, value in zip(CORNERS, (left, top, left + width, top + height), strict=True):
            ElementTree.SubElement(corners, name).text = f"{value:g}"
    return ElementTree.tostring(root, encoding="unicode") + "\n"
