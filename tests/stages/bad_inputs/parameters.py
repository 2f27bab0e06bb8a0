"""Parameters and options. The stages read parameters alike: every stage gets some of them."""

from pathlib import Path
from typing import Any

from tests.stages.bad_inputs.cases import Prepare, add, case
from tests.stages.reads import STAGES
from tools.workspace import TINY, write_params


def _params_text(text: str) -> Prepare:
    def prepare(folder: Path) -> list[str]:
        (folder / "params.yaml").write_text(text)
        return []

    return prepare


def changed_params(**changes: Any) -> Prepare:
    def prepare(folder: Path) -> list[str]:
        write_params(folder / "params.yaml", TINY, changes)
        return []

    return prepare


BOMB = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
PARAMETERS: list[tuple[str, Prepare]] = [
    ("params.yaml is empty", _params_text("")),
    ("params.yaml is a list", _params_text("- 1\n")),
    ("params.yaml has a tab", _params_text("seed:\t\t- 1\n\tlr: 2\n")),
    ("params.yaml has a key twice", _params_text("seed: 1\nseed: 2\n")),
    ("params.yaml has a bomb of YAML aliases", _params_text(BOMB)),
    ("params.yaml is nested 10,000 deep", _params_text("[" * 10_000)),
    ("params.yaml names a Python object", _params_text("seed: !!python/name:os.system\n")),
    ("params.yaml has a date that is none", _params_text("seed: 2020-13-45\n")),
    ("params.yaml has a mapping as key", _params_text("? {a: 1}\n: 2\n")),
    ("`lr: .nan`", changed_params(lr=float("nan"))),
    ("`lr: -1`", changed_params(lr=-1)),
    ("`lr: fast`", changed_params(lr="fast")),
    ("`seed: -1`", changed_params(seed=-1)),
    ("`seed` with a fraction", changed_params(seed=0.5)),
    ("`folds.n_splits: 1`", changed_params(folds={"n_splits": 1})),
    ("`tune_lr.low` over `high`", changed_params(tune_lr={"low": 0.1, "high": 0.01})),
    ("`tune_lr.n_folds` over `folds.n_splits`", changed_params(tune_lr={"n_folds": 7})),
    ("`training.loss: mse`", changed_params(training={"loss": "mse"})),
    ("`grid_search.width` is no list", changed_params(grid_search={"width": 16})),
    ("`grid_search.width` is empty", changed_params(grid_search={"width": []})),
    ("`model.width` a word of 1,000 letters", changed_params(model={"width": "x" * 1000})),
    ("`final.n_seeds: 0`", changed_params(final={"n_seeds": 0})),
    ("`evaluate.confidence: 95`", changed_params(evaluate={"confidence": 95})),
    ("an unknown parameter", changed_params(surprise=1)),
    (
        "`preprocess.near_duplicate_correlation: 1`",
        changed_params(preprocess={"near_duplicate_correlation": 1}),
    ),
]
for i, (wrong, prepare) in enumerate(PARAMETERS):
    add(list(STAGES)[i % len(STAGES)], wrong, prepare)


@case("tune_lr", "params.yaml is not UTF-8")
def _(folder: Path) -> list[str]:
    (folder / "params.yaml").write_bytes(b"seed: \xff\xfe")
    return []


@case("grid_search", "params.yaml is not there")
def _(folder: Path) -> list[str]:
    (folder / "params.yaml").unlink()
    return []


@case("evaluate", "params.yaml is a folder")
def _(folder: Path) -> list[str]:
    (folder / "params.yaml").unlink()
    (folder / "params.yaml").mkdir()
    return []


# Options.

add("tune_lr", "an unknown option", lambda _: ["--speed", "9"])
add("cross_validate", "`--workers -1`", lambda _: ["--workers", "-1"])
add("cross_validate", "`--workers many`", lambda _: ["--workers", "many"])
add("train_final", "`--device tpu`", lambda _: ["--device", "tpu"])
add("tune_lr", "`--device cuda` with portable arithmetic", lambda _: ["--device", "cuda"])


@case("grid_search", "`--device cuda` without a GPU")
def _(folder: Path) -> list[str]:
    write_params(folder / "params.yaml", TINY, {"training": {"arithmetic": "fp32"}})
    return ["--device", "cuda"]


add("audit", "no argument", lambda _: [])
add("audit", "`--correlation 2`", lambda _: ["a.npz", "--correlation", "2"])
add("audit", "`--fail-over -1`", lambda _: ["a.npz", "--fail-over", "-1"])
add("resplit", "`--seed -1`", lambda _: ["a.npz", "b.npz", "--seed", "-1"])
add("grid_search", "a cache in a home that is not there", lambda _: ["--cache", "~nobody-at-all/c"])
