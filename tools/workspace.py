"""A small copy of the project to run: phantoms, tiny budgets, a cache of its own."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
REAL = ROOT.parent / "shared" / "data" / "breastmnist.npz"  # tests of the real file need it
PROJECT = (
    "stages",
    "studies",
    "src",
    "dvc.yaml",
    "params.yaml",
    ".dvc/config",
    ".dvc/plots",
    ".dvcignore",
    "data/also_train/README.md",
    "data/images/README.md",
    ".gitignore",
)

PIPELINES = ("dvc.yaml", "studies/dvc.yaml")

# Enough to go through every line of the pipeline, too little to learn anything.
TINY: dict[str, Any] = {
    "data": {"name": "phantom", "n_phantoms": 90},
    "model": {"width": 8},
    # Ten digits, to notice rounding on the way.
    "training": {"n_epochs": 1, "ema_decay": 0.5, "weight_decay": 0.0123456789},
    "folds": {"n_splits": 2},
    "tune_lr": {"n_trials": 2, "round_size": 2, "n_folds": 1},
    # Three losses: one stops in the first rung.
    "grid_search": {
        "max_settings": 3,
        "first_epochs": 1,
        "n_folds": 2,
        "stem": None,
        "width": None,
        "blocks": None,
        "label_smoothing": None,
        "dropout": None,
    },
    "cross_validate": {"n_repeats": 1},
    "baseline": {"n_epochs": 1},
    "final": {"n_seeds": 1},
    "evaluate": {"n_bootstrap": 20},
}


def shipped_params() -> dict[str, Any]:
    """Return the content of the project's params.yaml."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    return content


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with `changes` put in, section by section."""
    result = dict(base)
    for key, value in changes.items():
        result[key] = merged(base[key], value) if isinstance(value, dict) else value
    return result


def write_params(path: Path, *changes: dict[str, Any]) -> Path:
    """Write the shipped parameters with changes, in the shipped order."""
    content = shipped_params()
    for change in changes:
        content = merged(content, change)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def copy_project(folder: Path, *changes: dict[str, Any]) -> Path:
    """Copy what a run needs into `folder`, with changed parameters; nothing that a run made."""
    for name in PROJECT:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, target, ignore=ignored)
        else:
            shutil.copyfile(ROOT / name, target)
    write_params(folder / "params.yaml", *changes)
    return folder


def copy_without_git(folder: Path, *changes: dict[str, Any]) -> Path:
    """Copy what a run needs, to belong to no repository."""
    copy_project(folder, *changes)
    (folder / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n")
    return folder


def copy_with_data(temporary: Path, *changes: dict[str, Any]) -> tuple[Path, dict[str, str]]:
    """Copy what a run needs, without git, and what the search path finds from here.

    Returns:
        the folder, and an environment with an empty cache.
    """
    folder = copy_without_git(temporary / "project", *changes)
    for place in shipped_params()["data"]["search_path"]:
        source = (ROOT / Path(place).expanduser()).resolve()
        if source.is_dir() and not Path(place).expanduser().is_absolute():
            shutil.copytree(source, (folder / place).resolve(), dirs_exist_ok=True)
    return folder, environment(temporary / "cache")


def dvc_stages(*pipelines: str) -> dict[str, dict[str, Any]]:
    """Return the stages of some of `PIPELINES`; none given: of dvc.yaml."""
    stages: dict[str, dict[str, Any]] = {}
    for pipeline in pipelines or PIPELINES[:1]:
        stages |= yaml.safe_load((ROOT / pipeline).read_text())["stages"]
    return stages


def stage_command(stage: str) -> tuple[str, list[str]]:
    """Return the module that a pipeline runs for a stage, and its arguments."""
    python, dash_m, module, *arguments = shlex.split(dvc_stages(*PIPELINES)[stage]["cmd"])
    if (python, dash_m) != ("python", "-m"):
        raise AssertionError(f"{stage}: expected `python -m`, got {python} {dash_m}")
    return module, arguments


def environment(cache: Path, **more: str) -> dict[str, str]:
    """Return an environment in which `python` is this one and the cache lies in `cache`."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    own = {"PATH": path, "BREAST_ULTRASOUND_CACHE": str(cache)}
    return {**os.environ, **own, **more}


def run(
    command: list[str], folder: Path, env: dict[str, str], check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder`; on an unexpected failure show what it printed."""
    done = subprocess.run(command, cwd=folder, env=env, text=True, capture_output=True, check=False)
    if check and done.returncode:
        raise AssertionError(
            f"{command} exited with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
    return done
