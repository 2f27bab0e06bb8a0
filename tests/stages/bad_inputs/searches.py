"""Tables of the searches."""

from collections.abc import Callable
from pathlib import Path

from tests.stages.bad_inputs.cases import Prepare, add


def _tables(change: Callable[[str, str], tuple[str, str]], file: str = "trials.db") -> Prepare:
    """Make the tables, one of them spoilt."""

    def prepare(folder: Path) -> list[str]:
        rates = "trial,lr,auc,n_folds,stopped\n0,0.01,0.9,2,finished\n"
        settings = (
            "setting,stopped,auc,auc_sd,n_folds,n_epochs,flops,width\n"
            "width 8,finalist,0.9,0.1,2,1,100,8\n"
        )
        (folder / "plots").mkdir()
        for name, text in zip(("tune_lr", "grid_search"), change(rates, settings), strict=True):
            (folder / "plots" / f"{name}.csv").write_text(text)
        return [file]

    return prepare


add("trials", "no searches yet", lambda _: ["trials.db"])
add("trials", "no argument", lambda _: [])
add("trials", "a file that is there", _tables(lambda a, b: (a, b), "params.yaml"))
add("trials", "a folder for the file", _tables(lambda a, b: (a, b), "models"))
add("trials", "a table of another kind", _tables(lambda a, b: (b, b)))
add("trials", "an AUC that is none", _tables(lambda a, b: (a.replace("0.9", "nan"), b)))
add("trials", "a learning rate of 0", _tables(lambda a, b: (a.replace("0.01", "0"), b)))
add("trials", "a line cut short", _tables(lambda a, b: (a, b[:-10])))
add("trials", "a folder that cannot be written", _tables(lambda a, b: (a, b), "/proc/here/t.db"))
add("tune_lr", "a scheduler that is none", lambda _: ["--scheduler", "ftp://127.0.0.1:1"])
