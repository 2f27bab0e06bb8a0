"""What DVC users do, with real dvc in a temporary git repository, on phantoms."""

import csv
import json
import shlex
import shutil
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest
import yaml

from tools.release import folder_hash
from tools.workspace import ROOT, TINY, copy_project, dvc_stages, environment, run

ALL = list(dvc_stages())


class Repository:
    """A git repository in which the pipeline has run once and been committed."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        self.env = environment(
            cache,
            BREAST_ULTRASOUND_WORKERS="1",
            GIT_AUTHOR_NAME="A Tester",
            GIT_AUTHOR_EMAIL="a@example.org",
            GIT_COMMITTER_NAME="A Tester",
            GIT_COMMITTER_EMAIL="a@example.org",
        )

    def __call__(self, command: str, check: bool = True) -> str:
        done = run(command.split(" "), self.folder, self.env, check)
        return done.stdout + done.stderr

    def json(self, command: str) -> dict[str, Any]:
        """Return what a command prints; on stderr DVC says that the studies have no metrics yet."""
        content: dict[str, Any] = json.loads(run(command.split(" "), self.folder, self.env).stdout)
        return content

    def commit(self, message: str) -> None:
        self("git add -A")
        self(f"git commit -q -m {message}")

    def set(self, **changes: Any) -> None:
        path = self.folder / "params.yaml"
        content = yaml.safe_load(path.read_text())
        for name, value in changes.items():
            section, leaf = name.split("__")
            content[section][leaf] = value
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    def reset(self) -> None:
        self("git checkout -q -f HEAD")
        self("dvc checkout -q")

    def experiments(self, options: str = "") -> dict[str, dict[str, str]]:
        rows = csv.DictReader(StringIO(self(f"dvc exp show --csv{options}")))
        return {row["Experiment"]: row for row in rows}


def ran(output: str) -> list[str]:
    return [name for name in ALL if f"Running stage '{name}'" in output]


@pytest.fixture(scope="module")
def duplicate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Repository, Popen[str]]]:
    """The same project in another folder, running with two workers and another cache."""
    folder = copy_project(tmp_path_factory.mktemp("near-duplicate"), TINY)
    repository = Repository(folder, folder / "cache")
    repository.env["BREAST_ULTRASOUND_WORKERS"] = "2"
    repository("git init -q")
    with Popen(["dvc", "repro"], cwd=folder, env=repository.env, text=True, stdout=PIPE) as process:
        yield repository, process


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Made once: `dvc repro` on phantoms, from nothing."""
    folder = copy_project(tmp_path_factory.mktemp("a folder") / "the project", TINY)
    repository = Repository(folder, folder.parent / "cache")
    repository("git init -q")
    repository.commit("start")
    assert ran(repository("dvc repro")) == ALL
    repository.commit("made")
    return repository


@pytest.fixture
def repository(made: Repository) -> Iterator[Repository]:
    yield made
    made.reset()


def test_a_second_repro_runs_nothing(repository: Repository) -> None:
    assert ran(repository("dvc repro")) == []
    assert repository("git status --porcelain") == ""


def test_a_clone_pulls_and_runs_nothing(repository: Repository, tmp_path: Path) -> None:
    remote = f"dvc remote add --local -d store {tmp_path / 'store'}"
    for command in (remote, "dvc push -q", f"git clone -q . {tmp_path / 'clone'}"):
        repository(command)
    repository("dvc remote remove --local store")
    clone = Repository(tmp_path / "clone", tmp_path / "cache")
    for command in (remote, "dvc pull -q dvc.yaml"):
        clone(command)
    assert "Running stage" not in clone("dvc repro")
    assert clone("git status --porcelain") == ""
    assert not (tmp_path / "cache").exists()  # nothing was trained


def test_a_shipped_model_is_held_to_the_hash_that_dvc_has(made: Repository) -> None:
    outs = yaml.safe_load((made.folder / "dvc.lock").read_text())["stages"]["train_final"]["outs"]
    locked = {out["path"]: out["md5"] for out in outs}
    for name in ("models/final", "models/baseline"):
        assert folder_hash(made.folder / name) == locked[name]
        changed = made.folder.parent / "changed"
        shutil.copytree(made.folder / name, changed)
        (changed / "README.md").write_text("for people")
        assert folder_hash(changed) == locked[name]
        (changed / "model.json").write_text("{}")
        assert folder_hash(changed) != locked[name]
        shutil.rmtree(changed)


@pytest.mark.slow
def test_another_repro_gives_the_same_bytes(
    made: Repository, duplicate: tuple[Repository, Popen[str]]
) -> None:
    """With two workers, another cache and another folder."""
    other, process = duplicate
    assert process.wait(timeout=200) == 0
    folder = other.folder
    names = ["dvc.lock"]
    for kind in ("metrics", "plots"):
        names += [str(p.relative_to(folder)) for p in (folder / kind).rglob("*") if p.is_file()]
    assert len(names) > 20
    for name in names:
        assert (folder / name).read_bytes() == (made.folder / name).read_bytes(), name


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"evaluate__n_bootstrap": 30}, ["download", "evaluate"]),
        pytest.param(  # Finds the same near-duplicates; the models' cards name it.
            {"preprocess__near_duplicate_correlation": 0.951},
            ["download", "preprocess", "train_final", "evaluate"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_changed_parameter_reruns_what_uses_it(
    repository: Repository, change: dict[str, Any], expected: list[str]
) -> None:
    repository.set(**change)
    assert ran(repository("dvc repro")) == expected


@pytest.mark.slow
def test_a_changed_module_reruns_what_imports_it(repository: Repository) -> None:
    path = repository.folder / "src/breast_ultrasound/evaluation/figures.py"
    path.write_text(path.read_text() + "# changed\n")
    dry = repository("dvc repro --dry")
    assert {"preprocess", "evaluate"} <= set(ran(dry))
    assert ran(repository("dvc repro")) == ["preprocess", "evaluate"]


def test_studies_are_a_pipeline_of_their_own(repository: Repository) -> None:
    """`dvc repro` runs none, and they need nothing of it that is not there, nor of each other.

    The report does, which comes after them.
    """
    studies = [name for name in dvc_stages("studies/dvc.yaml") if name != "report"]
    dry = repository(f"dvc repro --dry {' '.join(f'studies/dvc.yaml:{s}' for s in studies)}")
    assert ran(dry) == []
    for study in studies:
        assert f"Running stage 'studies/dvc.yaml:{study}'" in dry


@pytest.mark.slow
def test_differences_between_revisions_are_shown(repository: Repository) -> None:
    repository.set(final__n_seeds=2)
    assert ran(repository("dvc repro")) == ["download", "train_final", "evaluate"]
    params = repository.json("dvc params diff --json")
    assert params["params.yaml"] == {"final.n_seeds": {"old": 1, "new": 2, "diff": 1}}
    metrics = repository.json("dvc metrics diff --json")
    changed = metrics["metrics/evaluate.json"]
    assert any(name.startswith("final.test.") for name in changed)
    assert not any(name.startswith("baseline") for name in changed)
    repository("dvc plots diff -o plots_diff")
    page = (repository.folder / "plots_diff" / "index.html").read_text()
    for title in ("ROC on test", "Training loss"):
        assert title in page
    assert '"workspace"' in page
    assert '"HEAD"' in page
    shutil.rmtree(repository.folder / "plots_diff")


def test_every_plot_is_shown(repository: Repository) -> None:
    repository("dvc plots show -o plots_page")
    page = (repository.folder / "plots_page" / "index.html").read_text()
    plots = yaml.safe_load((repository.folder / "dvc.yaml").read_text())["plots"]
    for entry in plots:
        name = Path(entry).name if isinstance(entry, str) else next(iter(entry))
        assert name.isascii(), name
        assert not set(name) & set("'\"<&"), f"{name}: DVC's page does not draw it"
        assert name in page
    shutil.rmtree(repository.folder / "plots_page")


def test_metrics_are_plain_numbers_under_short_names(repository: Repository) -> None:
    shown = repository.json("dvc metrics show --json")[""]["data"]
    evaluate = shown["metrics/evaluate.json"]["data"]
    assert isinstance(evaluate["final"]["test"]["auc"], float)
    assert isinstance(shown["metrics/data.json"]["data"]["near_duplicates"]["pairs"], int)


@pytest.mark.slow
def test_experiments_with_a_pinned_rate(repository: Repository) -> None:
    output = repository("dvc exp run -n pinned -S lr=0.003 grid_search")
    assert ran(output) == ["download", "tune_lr", "grid_search"]
    assert "learning rate 0.003, pinned" in output
    # What follows directly; DVC cannot say of evaluate before it has new models.
    follow = ["cross_validate", "train_final"]
    assert ran(repository("dvc repro --dry")) == follow
    # A number that YAML 1.1 reads as a word.
    output = repository("dvc exp run -n tiny -S lr=1e-5 tune_lr")
    assert "learning rate 1e-05, pinned" in output
    # Back to the search, whose trainings are in the cache.
    repository("dvc exp run -n searched -S lr=null tune_lr")
    assert (
        json.loads((repository.folder / "metrics/tune_lr.json").read_text())["source"] == "search"
    )
    repository.reset()
    shown = repository.experiments()
    assert shown["pinned"]["params.yaml:lr"] == "0.003"
    assert float(shown["tiny"]["metrics/tune_lr.json:lr"]) == 1e-5
    dry = run(["make", "-n", "experiments"], ROOT, repository.env, check=True).stdout
    *_, after = dry.partition("--md ")
    options = shlex.split(after.splitlines()[0])  # within make, it says too where it leaves
    shown = repository.experiments(" " + " ".join(options))
    assert set(shown["pinned"]) == {
        "Experiment",
        "params.yaml:lr",
        "metrics/tune_lr.json:lr",
        "chosen.loss",
        "auc.mean",
        "final.test.auc",
        "final.test.accuracy",
        "final.leak_free.auc",
        "final.leak_free.accuracy",
    }


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("lr=none", "lr: expected"),
        ("+surprise=1", "surprise: unknown parameter"),
    ],
)
def test_a_wrong_parameter_fails_with_one_line(
    repository: Repository, change: str, line: str
) -> None:
    output = repository(f"dvc exp run -S {change}", check=False)
    assert f"error: params.yaml: {line}" in output
    assert "Traceback" not in output
    assert "Ran experiment" not in output


@pytest.mark.slow
def test_queued_experiments_run_their_own_code_and_share_the_cache(
    repository: Repository,
) -> None:
    """An installed package would be the checkout's: the changed module must be the copy's."""
    cache = repository.folder.parent / "cache"
    stored = sorted(cache.rglob("*.safetensors"))
    for name, old, new in (
        ("stages/tune_lr.py", "pinned in", "pinned by a changed stage in"),
        (
            "src/breast_ultrasound/console.py",
            "with _noted_signals() as received:",
            'typer.echo("a changed module")\n        with _noted_signals() as received:',
        ),
    ):
        path = repository.folder / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
    repository("dvc exp run --queue -S lr=0.002,0.02 tune_lr")
    repository("dvc exp run --queue -S grid_search.tie=0.01 tune_lr")
    repository.reset()  # the checkout no longer has the change
    repository("dvc queue start -j 2")
    names = [line.split()[0] for line in repository("dvc queue status").splitlines()[1:4]]
    logs = sorted(repository(f"dvc queue logs -f {name}") for name in names)
    assert all("a changed module" in log for log in logs)
    for rate in ("0.002", "0.02"):
        assert sum(f"learning rate {rate}, pinned by a changed stage" in log for log in logs) == 1
    assert sum("all 2 cached" in log for log in logs) == 1  # the trials of the checkout's search
    assert sorted(cache.rglob("*.safetensors")) == stored
