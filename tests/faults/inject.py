"""Faults: every stage is killed at random moments, and must end as if nothing had happened.

A small configuration on the real data runs once undisturbed, stage by stage, the studies that train
after the pipeline; the state before each stage is kept. Then each stage starts again from there and
meets a fault: SIGKILL, SIGINT or SIGTERM to all its processes, SIGKILL to one training process, a
full disk under the cache, or, on a cluster of two workers, SIGKILL to a worker, to the scheduler or
to the stage. After it the stage runs to its end. A fault is survived when that succeeds, no
training that was received was trained again, and outputs and lock files are those of the
undisturbed run, to the byte.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from breast_ultrasound.files import expand
from tests.runs.clusters import cluster, kill
from tools.workspace import copy_project, dvc_stages, environment, shipped_params

SMALL: dict[str, Any] = {
    "model": {"width": 8},
    "training": {"n_epochs": 8, "ema_decay": 0.9},
    "folds": {"n_splits": 3},
    "tune_lr": {"n_trials": 4, "round_size": 2, "n_folds": 2},
    "grid_search": {
        "max_settings": 3,
        "first_epochs": 2,
        "n_folds": 3,
        "stem": None,
        "width": None,
        "blocks": None,
        "label_smoothing": None,
        "dropout": None,
    },
    "cross_validate": {"n_repeats": 1},
    "baseline": {"n_epochs": 2},
    "final": {"n_seeds": 3},
    "evaluate": {"n_bootstrap": 20},
}
STUDIES = ("augmentation", "clean_split", "leakage")  # that train, and need no other hospital
STAGES = (*dvc_stages(), *STUDIES)
TRAINING = {"tune_lr", "grid_search", "cross_validate", "train_final", *STUDIES}
SIGNALS = {"kill": signal.SIGKILL, "interrupt": signal.SIGINT, "terminate": signal.SIGTERM}
CLUSTER = {"cluster: worker": 1, "cluster: scheduler": 0, "cluster: stage": None}  # as they start
MAX_TRIES = 10  # to hit a stage before it ends
CLUSTER_START = 5.0  # seconds until a cluster's workers train
DISK = "256m"  # all trainings of the small configuration fit on it
FULL = 4 * 1024  # bytes that a full disk still has: one cached training without weights


@dataclass(frozen=True)
class State:
    """A project and its cache at one moment: before a stage, or after the last."""

    project: Path
    cache: Path

    def copy(self, place: Path) -> "State":
        """Copy both to `place`, modification times included."""
        shutil.rmtree(place, ignore_errors=True)
        copied = State(place / "project", place / "cache")
        self.cache.mkdir(parents=True, exist_ok=True)
        for source, target in ((self.project, copied.project), (self.cache, copied.cache)):
            shutil.copytree(source, target, symlinks=True)
        return copied

    def runs(self) -> dict[str, int]:
        """Return when each finished training was cached, by file name."""
        return {p.name: p.stat().st_mtime_ns for p in self.cache.rglob("[!.]*.safetensors")}

    def results(self) -> dict[str, bytes]:
        """Return what the pipeline made, and dvc.lock, by path."""
        made = [p for name in ("data", "metrics", "models", "plots")
                for p in (self.project / name).rglob("*") if p.is_file()]  # fmt: skip
        files = [*made, self.project / "dvc.lock", self.project / "studies" / "dvc.lock"]
        return {str(p.relative_to(self.project)): p.read_bytes() for p in files if p.exists()}


def start(stage: str, state: State, **variables: str) -> subprocess.Popen[str]:
    """Start a stage in a process group of its own."""
    name = f"studies/dvc.yaml:{stage}" if stage in STUDIES else stage
    return subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", "--single-item", name],
        cwd=state.project,
        env=environment(state.cache, BREAST_ULTRASOUND_WORKERS="2", **variables),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def finish(stage: str, state: State) -> float:
    """Run a stage to its end, and return the seconds it took."""
    began = time.monotonic()
    process = start(stage, state)
    output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{stage} failed:\n{output}")
    return time.monotonic() - began


def run_undisturbed(folder: Path, last: str) -> tuple[dict[str, State], dict[str, float]]:
    """Return the state before each stage, and after the last, and how long each took."""
    search_path = [str(expand(place)) for place in shipped_params()["data"]["search_path"]]
    project = copy_project(folder / "whole", SMALL, {"data": {"search_path": search_path}})
    (project / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n")
    state = State(project, folder / "cache")
    states, seconds = {}, {}
    for stage in STAGES[: STAGES.index(last) + 1]:
        states[stage] = state.copy(folder / "before" / stage)
        seconds[stage] = finish(stage, state)
    for following in (*STAGES[STAGES.index(last) + 1 :], "end"):
        states[following] = state
    return states, seconds


def send(process: subprocess.Popen[str], kind: signal.Signals, after: float) -> bool:
    """Send a signal to all processes of a stage after a while; False when it has ended by then."""
    try:
        process.wait(timeout=after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, kind)
        return True
    return False


def kill_a_worker(process: subprocess.Popen[str], after: float) -> bool:
    """Kill one training process, a while after it is there; False when none came."""
    while process.poll() is None:
        found = subprocess.run(
            ["pgrep", "-s", str(process.pid), "-f", "popen_loky_posix"],
            text=True, capture_output=True, check=False,
        ).stdout.split()  # fmt: skip
        if found:
            time.sleep(after)
            try:
                os.kill(int(found[0]), signal.SIGKILL)
            except ProcessLookupError:
                return False
            return True
        time.sleep(0.05)
    return False


def disturb(stage: str, fault: str, state: State, seconds: float, rng: np.random.Generator) -> str:
    """Run a stage and let a fault happen; return what went wrong already, or nothing."""
    if fault in CLUSTER:
        return disturb_cluster(stage, fault, state, rng.uniform(0.3, 0.9) * seconds)
    process = start(stage, state)
    if fault == "worker":
        hit = kill_a_worker(process, rng.uniform(0, 0.5 * seconds))
    elif fault == "disk":
        hit = True
    else:
        hit = send(process, SIGNALS[fault], rng.uniform(0.05, 0.95) * seconds)
    output, _ = process.communicate()
    if not hit or (process.returncode == 0 and fault != "worker"):
        return "missed"  # it had ended, and DVC was writing it down; or nothing was left to store
    noticed = "a training process was killed" in output
    if fault == "worker" and process.returncode == 0 and not noticed:
        return "missed"  # it had no work left
    stated = {
        "worker": noticed and process.returncode == 0,
        "disk": "cannot store a training there" in output and "Traceback" not in output,
        "kill": process.returncode != 0,
    }.get(fault, process.returncode != 0 and "Traceback" not in output)
    return "" if stated else f"exit code {process.returncode}:\n{output}"


def disturb_cluster(stage: str, fault: str, state: State, after: float) -> str:
    """Run a stage on a cluster and kill a part of it; return what went wrong already, or nothing.

    Where a worker is killed another comes, and the stage goes on by itself.
    """
    with cluster(state.project.parent / "cluster", n_workers=2) as processes:
        process = start(stage, state, BREAST_ULTRASOUND_SCHEDULER=processes.address)
        output: list[str] = []
        reader = threading.Thread(target=lambda: output.append(process.communicate()[0]))
        reader.start()
        reader.join(CLUSTER_START + after)
        hit = reader.is_alive()
        if hit and (number := CLUSTER[fault]) is None:
            os.killpg(process.pid, signal.SIGKILL)
        elif hit:
            kill(processes.started[number])
            if number:
                processes.worker("another")
        reader.join()
    should_fail = fault != "cluster: worker"
    if not hit or (process.returncode == 0 and should_fail):
        return "missed"
    in_a_line = fault == "cluster: stage" or "Traceback" not in output[0]
    if bool(process.returncode) == should_fail and in_a_line:
        return ""
    return f"exit code {process.returncode}:\n{output[0]}"


def inject(
    stage: str, fault: str, before: State, after: State, place: Path, seconds: float,
    rng: np.random.Generator,
) -> Counter[str]:  # fmt: skip
    """Let one fault happen to a stage, run it to its end, and count what is not as it should be."""
    state = before.copy(place)
    try:
        if fault == "disk":
            _fill(state)
        wrong = disturb(stage, fault, state, seconds, rng)
        if wrong == "missed":
            return Counter(missed=1)
        finished = state.runs()
        if fault == "disk":
            _make_room(state)
        try:
            finish(stage, state)
        except RuntimeError as error:
            wrong = str(error)
        now = state.runs()
    finally:
        if state.cache.is_mount():
            subprocess.run(["umount", state.cache], check=True)
    lost = sum(now.get(name) != written for name, written in finished.items())
    expected, found = after.results(), state.results()
    names = expected.keys() | found.keys()
    differing = [name for name in sorted(names) if expected.get(name) != found.get(name)]
    if wrong or differing or now.keys() != after.runs().keys():
        print(f"{stage}, {fault}: {wrong or 'differs'} {differing}", file=sys.stderr)
    survived = not wrong and not lost and not differing and now.keys() == after.runs().keys()
    return Counter(injected=1, survived=survived, lost=lost, differing=len(differing))


def _fill(state: State) -> None:
    """Put the cache on a disk of its own that has no room left."""
    content = state.cache.with_name("content")
    state.cache.rename(content)
    state.cache.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", state.cache], check=True)
    shutil.copytree(content, state.cache, dirs_exist_ok=True)
    used = shutil.disk_usage(state.cache).used
    size = f"remount,size={used + FULL}"
    subprocess.run(["mount", "-o", size, state.cache], check=True)


def _make_room(state: State) -> None:
    subprocess.run(["mount", "-o", f"remount,size={DISK}", state.cache], check=True)


def faults_of(stage: str, n_kills: int) -> list[str]:
    """Return the faults a stage meets: those of its own processes only where it trains."""
    common = ["kill"] * n_kills + ["interrupt", "terminate"]
    if stage not in TRAINING:
        return common
    return [*common, "worker", *(["disk"] if os.geteuid() == 0 else []), *CLUSTER]


def main() -> int:
    """Run it all, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stages", nargs="*", default=list(STAGES), help="default: all")
    parser.add_argument("--kills", type=int, default=5, help="SIGKILLs per stage")
    parser.add_argument("--seed", type=int, default=0, help="decides the moments")
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unmounts and tidies up
    stages = list(STAGES)
    if os.geteuid():
        print("no full disks: only root may mount one", file=sys.stderr)
    table: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory(prefix="breast-ultrasound-faults-") as temporary:
        folder = Path(temporary)
        states, seconds = run_undisturbed(folder, max(arguments.stages, key=STAGES.index))
        for stage, following in zip(stages, [*stages[1:], "end"], strict=True):
            if stage not in arguments.stages:
                continue
            table[stage] = Counter()
            for fault in faults_of(stage, arguments.kills):
                ends = states[stage], states[following], folder / "cut", seconds[stage]
                for _ in range(MAX_TRIES):
                    count = inject(stage, fault, *ends, rng)
                    if not count["missed"]:
                        break
                table[stage] += count
            print(f"{stage:16} {dict(table[stage])}", file=sys.stderr, flush=True)
    return report(table)


def report(table: dict[str, Counter[str]]) -> int:
    """Print the table in Markdown; return 1 when a fault was not survived."""
    print("| stage | faults | survived | trainings lost | files that differ |")
    print("| --- | --- | --- | --- | --- |")
    names = ("injected", "survived", "lost", "differing")
    for stage, count in table.items():
        print(f"| {stage} | {' | '.join(str(count[name]) for name in names)} |")
    return int(any(count["survived"] < count["injected"] for count in table.values()))


if __name__ == "__main__":
    sys.exit(main())
