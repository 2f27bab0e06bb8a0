"""Made-up hospitals: folders of pictures with tables, as they are published."""

from pathlib import Path

import numpy as np
from PIL import Image

from breast_ultrasound.data.official import FILE_LABEL_MALIGNANT
from breast_ultrasound.data.phantom import make_phantoms


def write_busbra(folder: Path, n_patients: int = 16, seed: int = 9) -> Path:
    """Write a folder in BUS-BRA's layout, two images per patient with even case numbers."""
    arrays = make_phantoms(max(60, 2 * n_patients), seed, side=64)
    images, labels = arrays["train_images"], arrays["train_labels"][:, 0]
    (folder / "Images").mkdir(parents=True)
    (folder / "Masks").mkdir()
    rows = ["ID,Case,Histology,Pathology,BIRADS,Device,Width,Height,Side,BBOX"]
    for patient in range(n_patients):
        word = "malignant" if labels[patient] == FILE_LABEL_MALIGNANT else "benign"
        for side, image in (("l", images[patient]), ("r", images[patient][:, ::-1])):
            name, case = f"bus_{patient:04}-{side}", 2 * patient + 2
            # A scanner's pictures are wider than high.
            wide = np.concatenate([image[:, :9], image, image[:, -8:]], axis=1)
            Image.fromarray(wide).save(folder / "Images" / f"{name}.png")
            mask = np.zeros(wide.shape, dtype=np.uint8)
            mask[20:44, 26:50] = 255
            Image.fromarray(mask).save(folder / "Masks" / f"mask_{name.removeprefix('bus_')}.png")
            device = "GE Logiq 5" if patient % 2 else "GE Logiq 7"
            rows.append(f'{name},{case},x,{word},4,{device},81,64,{side},"[1,2,3,4]"')
    (folder / "bus_data.csv").write_text("\n".join(rows) + "\n")
    return folder


def write_busi(folder: Path, names: list[str], malignant: list[bool]) -> Path:
    """Write what is known of BUSI for images of these names; the first two are duplicates."""
    folder.mkdir(parents=True)
    rows, files = ["split,index,label,busi_class,busi_file"], []
    for i, (name, is_malignant) in enumerate(zip(names, malignant, strict=True)):
        split, index = name.removesuffix("]").split("[")
        kind = "malignant" if is_malignant else "normal" if i % 3 else "benign"
        files.append(f"{kind} ({i})")
        rows.append(f"{split},{index},{int(not is_malignant)},{kind},{files[-1]}.png")
    (folder / "breastmnist_to_busi.csv").write_text("\n".join(rows) + "\n")
    groups = [f"{{{files[0]}&{files[1]}}}", *(f"{{{file}}}" for file in files[2:])]
    lines = ["ID;Filename;Objection;Annotation", *(f"{{1}};{group};;" for group in groups)]
    text = "\r\n".join(lines) + "\r\n"
    (folder / "duplicates_pawlowska2023.csv").write_text(text, encoding="utf-8-sig")
    return folder
