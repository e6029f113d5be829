"""Gzipped DICOM files of drawn chests: a body with two lungs, as `ct-kernels` reads them."""

import gzip
import locale
from pathlib import Path

import numpy as np

HEADER = {"0008|0060": "CT", "0010|0020": "Lung_A", "0018|1210": "B", "0008|103e": "a secret series"}
RESCALED = {"0028|1052": "-1024", "0028|1053": "1"}
COLUMNS = "file,set,patient,manufacturer,model,kernel,z"


def chest(noise: float = 0, side: int = 168) -> np.ndarray:
    """HU (side, side) int16: air, a body of water, two lungs of -800 with a vessel, and noise in them."""
    hu = np.full((side, side), -1000.0)
    hu[8:-8, 8:-8] = 0
    lungs = np.zeros_like(hu, dtype=bool)
    lungs[26:144, 26:86] = lungs[26:144, 92:152] = True
    hu[lungs] = -800 + noise * np.random.default_rng(1).standard_normal(int(lungs.sum()))
    hu[80:83, 40:70] = 50
    return np.round(hu).astype(np.int16)


def write(path: Path, hu: np.ndarray, z: float = 0, packed: bool = True, **header: str) -> None:
    """The slice as a DICOM file at z mm, with HEADER and what is given otherwise, without empty fields."""
    import SimpleITK

    path.parent.mkdir(parents=True, exist_ok=True)
    image = SimpleITK.GetImageFromArray(hu[None] if hu.ndim == 2 else hu)
    image.SetSpacing((0.8, 0.8, 5.0))
    fields = HEADER | RESCALED | {"0020|0032": f"-67\\-67\\{z:g}"} | header
    for key, value in fields.items():
        if value:
            image.SetMetaData(key, value)
    image.SetOrigin((-67.0, -67.0, z))
    writer = SimpleITK.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    plain = path.with_name("plain.dcm")
    writer.SetFileName(str(plain))
    letters = locale.setlocale(locale.LC_CTYPE)
    writer.Execute(image)
    locale.setlocale(locale.LC_CTYPE, letters)  # which the writer leaves at that of C, for all tests to come
    content = plain.read_bytes()
    plain.unlink()
    path.write_bytes(gzip.compress(content, mtime=0) if packed else content)


def scans(folder: Path, positions: int = 2) -> None:
    """Files and index of two patients at some positions under two kernels each, and of nine others."""
    rows = [COLUMNS]

    def add(name: str, kind: str, patient: str, kernel: str, z: float, hu: np.ndarray) -> None:
        write(folder / name, hu, z, **{"0010|0020": patient, "0018|1210": kernel})
        rows.append(f"{name},{kind},{patient},SIEMENS,Sensation {len(patient)},{kernel},{z}")

    for patient, kernels in (("Lung_A", ("L", "B")), ("Lung_B", ("B40f", "B70f"))):
        for z in range(positions):
            for kernel in kernels:
                noise = 20 + 60 * (kernel in ("L", "B70f")) + z
                name = f"paired_kernels/{patient}_{kernel}/{z}.dcm.gz"
                add(name, "paired_kernels", patient, kernel, z, chest(noise))
    for number in range(9):
        add(f"tcga_luad_slices/{number}.dcm.gz", "tcga_slices", f"TCGA-{number}", "STANDARD", 7, chest(40))
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
