"""Own images: tables, folders, and scores of a model on them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hospitals import write_busbra
from tests.stages.bad_inputs.cases import Prepare, add, case
from tests.stages.bad_inputs.parameters import changed_params
from tools.workspace import TINY, write_params


def _hospital(change: Callable[[Path], None], **mapping: Any) -> Prepare:
    """Make a folder `own` in BUS-BRA's layout, spoilt, for `data.name: images`."""

    def prepare(folder: Path) -> list[str]:
        change(write_busbra(folder / "own"))
        columns = {"image": "Images/{ID}.png", "label": "Pathology", "patient": "Case"}
        data = {"name": "images", "images": "own", "table": "bus_data.csv", **mapping}
        columns |= data.pop("columns", {})
        write_params(folder / "params.yaml", TINY, {"data": {**data, "columns": columns}})
        return []

    return prepare


def _rows(change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    def edit(own: Path) -> None:
        table = own / "bus_data.csv"
        table.write_text("\n".join(change(table.read_text().splitlines())) + "\n")

    return edit


def _as_it_is(own: Path) -> None:
    """Change nothing."""


def _without_pictures(own: Path) -> None:
    for path in sorted((own / "Images").iterdir())[:5]:
        path.unlink()


def _spoilt_picture(own: Path) -> None:
    (own / "Images" / "bus_0002-r.png").write_bytes(b"?")


def _linked_picture(own: Path) -> None:
    path = own / "Images" / "bus_0002-r.png"
    shutil.move(path, own.parent / "elsewhere.png")
    path.symlink_to(own.parent / "elsewhere.png")


def _loose_picture(own: Path) -> None:
    shutil.copy(own / "Images" / "bus_0002-r.png", own / "loose.png")


add("download", "a folder of images that is not there", _hospital(_as_it_is, images="gone"))
add("download", "a table that is not there", _hospital(_as_it_is, table="gone.csv"))
add("download", "an empty table", _hospital(_rows(lambda rows: rows[:1])))
add("download", "a table without a column", _hospital(_as_it_is, columns={"label": "Diagnosis"}))
add("download", "a template that names none", _hospital(_as_it_is, columns={"image": "{}.png"}))
add("download", "a row of another length", _hospital(_rows(lambda rows: [*rows, "bus_0000-l"])))
add("download", "a row twice", _hospital(_rows(lambda rows: [*rows, rows[1]])))
add("download", "images that are not there", _hospital(_without_pictures))
add("download", "an image that cannot be read", _hospital(_spoilt_picture))
add("download", "a link out of the folder", _hospital(_linked_picture))
add("download", "a path out of the folder", _hospital(_as_it_is, columns={"image": "../{ID}.png"}))
add("download", "labels of neither class", _hospital(_as_it_is, benign=["harmless"]))
add("download", "a label of both classes", _hospital(_as_it_is, benign=["malignant"]))
add(
    "download",
    "no malignant image",
    _hospital(_as_it_is, malignant=["x"], benign=["benign", "malignant"]),
)
add("download", "splits of other names", _hospital(_as_it_is, columns={"split": "Side"}))
add("download", "a folder without classes", _hospital(_loose_picture, table=None))
add(
    "download",
    "a size that BreastMNIST lacks",
    changed_params(data={"name": "breastmnist", "size": 32}),
)


def without_thumbnails(folder: Path) -> None:
    (folder / "models/final/known.safetensors").unlink()


def _evaluated(*options: str) -> Prepare:
    def prepare(folder: Path) -> list[str]:
        table = write_busbra(folder / "own") / "bus_data.csv"
        mapping = ["--image", "Images/{ID}.png", "--label", "Pathology", "--patient", "Case"]
        return [str(table), *mapping, *options]

    return prepare


add("breast-ultrasound evaluate", "a table that is not there", lambda _: ["gone.csv"])
add("breast-ultrasound evaluate", "a table without a column", _evaluated("--by", "Stage"))
add("breast-ultrasound evaluate", "labels of neither class", _evaluated("--benign", "harmless"))
add("breast-ultrasound evaluate", "a model that is not there", _evaluated("--model", "gone"))


@case("breast-ultrasound evaluate", "dev images of another model, which keeps no thumbnails")
def _(folder: Path) -> list[str]:
    without_thumbnails(folder)
    return _evaluated("--dev", "data/processed/test.npz")(folder)


add(
    "breast-ultrasound evaluate",
    "an output over the table",
    _evaluated("--csv", "own/bus_data.csv"),
)
add(
    "breast-ultrasound evaluate",
    "a file for a folder of figures",
    _evaluated("--plot", "params.yaml"),
)
