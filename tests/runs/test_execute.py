import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor, reusable_executor

from breast_ultrasound.data.folds import make_folds
from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.files import InputError
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.runs.cache import RunCache
from breast_ultrasound.runs.device import find_device
from breast_ultrasound.runs.execute import Executor, Resources, find_cache, find_resources
from breast_ultrasound.runs.run import Run, RunResult
from breast_ultrasound.search.fold_runs import run_on

MakeExecutor = Callable[..., Executor]


@pytest.fixture
def runs(config: TrainingConfig, dev: ImageSet) -> list[Run]:
    return [run_on(config, fold) for fold in make_folds(dev.malignant, dev.group, 3, seed=0)]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """The runs that were really trained, as their processes hand them over."""
    seen: list[Run] = []
    once = Executor._train_once

    def counting(
        self: Executor, runs: Mapping[str, Run], label: str
    ) -> Iterator[tuple[str, RunResult]]:
        for key, result in once(self, runs, label):
            seen.append(runs[key])
            yield key, result

    monkeypatch.setattr(Executor, "_train_once", counting)
    return seen


def _stored(executor: Executor) -> dict[Path, int]:
    """When each finished training was written."""
    folder = executor.resources.cache.folder
    return {path: path.stat().st_mtime_ns for path in folder.rglob("[!.]*.safetensors")}


def test_what_is_stored_is_not_trained_again(
    executor: MakeExecutor, runs: list[Run], trained: list[Run]
) -> None:
    execute = executor()
    first = execute(runs[:2], "first")
    assert len(trained) == 2
    second = execute([*runs, runs[0]], "second")  # one new, one twice
    assert len(trained) == 3
    for result, again in zip(first, second[:2], strict=True):
        assert np.array_equal(result.logits, again.logits)
        assert np.array_equal(result.train_loss, again.train_loss)
    assert np.array_equal(second[0].logits, second[3].logits)


@pytest.mark.parametrize("n_workers", [1, 2])
def test_a_failure_keeps_what_was_finished(
    executor: MakeExecutor, runs: list[Run], n_workers: int
) -> None:
    execute = executor(n_workers)
    beyond = replace(runs[1], score=np.array([10_000]))
    with pytest.raises(IndexError, match="10000"):
        execute([runs[0], beyond, runs[2]], "cut")
    kept = _stored(execute)
    if n_workers == 1:
        assert len(kept) == 1  # one at a time, in order
    execute(runs, "again")
    after = _stored(execute)
    assert len(after) == len(runs)
    assert {path: after[path] for path in kept} == kept


def test_no_training_is_of_this_process(
    executor: MakeExecutor, runs: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here torch may have computed before, with other limits; not even one run is."""

    def refuse(*_: object) -> None:
        raise AssertionError("trained in this process")

    monkeypatch.setattr("breast_ultrasound.runs.execute.train", refuse)
    assert len(executor()(runs[:1], "elsewhere")) == 1


def test_other_images_are_other_runs(
    executor: MakeExecutor, runs: list[Run], trained: list[Run], dev: ImageSet
) -> None:
    executor()(runs[:1], "")
    executor(malignant=~dev.malignant)(runs[:1], "")
    executor(images=255 - dev.images)(runs[:1], "")
    assert len(trained) == 3


def test_runs_of_another_arithmetic_are_refused(executor: MakeExecutor, runs: list[Run]) -> None:
    with pytest.raises(ValueError, match=r"expected runs in fp32 arithmetic, got \{'portable'\}"):
        executor(arithmetic="fp32")(runs, "")


def test_the_number_of_workers_changes_no_bit(
    executor: MakeExecutor, runs: list[Run], tmp_path: Path
) -> None:
    alone = executor()(runs, "one worker")
    resources = Resources("cpu", 2, RunCache(tmp_path / "other"))
    together = executor(resources=resources)(runs, "two workers")
    for a, b in zip(alone, together, strict=True):
        assert np.array_equal(a.logits, b.logits)
        assert np.array_equal(a.train_loss, b.train_loss)


def test_a_diverged_training_is_stored_like_others(
    executor: MakeExecutor, runs: list[Run], config: TrainingConfig, trained: list[Run]
) -> None:
    sgd = config.training.model_copy(update={"optimizer": "sgd", "n_epochs": 5})
    wild = replace(runs[0], config=config.model_copy(update={"lr": 1e6, "training": sgd}))
    for _ in range(2):
        diverged, usual = executor()([wild, runs[0]], "")
        assert diverged.diverged
        assert np.isnan(diverged.logits).all()
        assert not usual.diverged
    assert len(trained) == 2


def test_a_damaged_result_is_dropped_and_trained_again(
    executor: MakeExecutor, runs: list[Run], trained: list[Run], capsys: pytest.CaptureFixture[str]
) -> None:
    execute = executor()
    (before,) = execute(runs[:1], "")
    (path,) = execute.resources.cache.folder.rglob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    for damage in (bytes(content), content[:20], b""):
        path.write_bytes(damage)
        (after,) = execute(runs[:1], "")
        assert np.array_equal(before.logits, after.logits)
    assert len(trained) == 4
    assert "damaged" in capsys.readouterr().err


def test_a_result_under_a_wrong_name_is_not_used(
    executor: MakeExecutor, runs: list[Run], trained: list[Run]
) -> None:
    execute = executor()
    execute(runs[:2], "")
    first, second = sorted(execute.resources.cache.folder.rglob("*.safetensors"))
    first.write_bytes(second.read_bytes())
    execute(runs[:2], "")
    assert len(trained) == 3


def test_weights_come_back_as_stored(
    executor: MakeExecutor, config: TrainingConfig, dev: ImageSet
) -> None:
    run = Run(config, 0, np.arange(len(dev)), np.arange(0), keep_weights=True)
    (fresh,), (stored,) = (executor()([run], "") for _ in range(2))
    assert fresh.weights.keys() == stored.weights.keys()
    for name, array in fresh.weights.items():
        assert array.dtype == stored.weights[name].dtype
        assert np.array_equal(array, stored.weights[name])
    assert stored.logits.shape == (0,)


def test_a_folder_that_cannot_be_written_is_named(
    runs: list[Run], executor: MakeExecutor, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file where the cache should be")
    with pytest.raises(InputError, match=r"cache: cannot store a training there.*--cache"):
        executor()(runs[:1], "")


@pytest.fixture
def large(executor: MakeExecutor, dev: ImageSet) -> Executor:
    """Of more than a megabyte of images, from which on joblib maps them, and new processes."""
    get_reusable_executor().shutdown()  # they keep to the folder that they began with
    again = np.arange(1500) % len(dev)
    return replace(executor(), images=dev.images[again], malignant=dev.malignant[again])


def test_images_are_mapped_in_the_cache_folder_alone(
    large: Executor, runs: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBLIB_TEMP_FOLDER", "/dev/null/elsewhere")  # nothing can be written there
    large(runs[:2], "")
    assert len(_stored(large)) == 2


def test_a_disk_too_full_for_the_images_is_named(
    large: Executor, runs: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = large.resources.cache.folder
    monkeypatch.setattr(RunCache, "prepare", lambda cache: cache.folder.write_text("no folder"))
    with pytest.raises(InputError, match=r"cannot lay out the images.*--cache"):
        large(runs[:2], "")
    assert folder.is_file()


def test_resources_follow_the_options(tmp_path: Path) -> None:
    found = find_resources("cpu", "portable", 3, tmp_path)
    assert (found.device, found.n_workers) == ("cpu", 3)
    assert found.cache.folder == tmp_path / "runs" == find_cache(tmp_path).folder
    assert find_resources("cpu", "fp32", 0, None).n_workers >= 1


@pytest.mark.parametrize("arithmetic", ["fp32", "bf16"])
def test_a_gpu_is_taken_where_there_is_one_and_said(
    arithmetic: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "NVIDIA H100")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert find_device("auto", arithmetic) == "cpu"
    assert capsys.readouterr().err.startswith(f"device: {arithmetic}: cpu ")
    with pytest.raises(InputError, match=r"expected a CUDA GPU, found none"):
        find_device("cuda", arithmetic)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert find_device("auto", arithmetic) == "cuda"
    assert capsys.readouterr().err == f"device: {arithmetic}: cuda NVIDIA H100\n"
    assert find_device("cuda", arithmetic) == "cuda"
    assert find_device("cpu", arithmetic) == "cpu"
    assert find_resources("cuda", arithmetic, 0, None).n_workers == 1
    assert find_resources("cuda", arithmetic, 8, None).n_workers == 8  # packed on it
    assert not capsys.readouterr().err  # what was asked for needs no word


def test_portable_arithmetic_is_of_cpus(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert find_device("auto", "portable") == "cpu"
    assert capsys.readouterr().err == "device: cpu, by training.arithmetic: portable\n"
    assert find_device("cpu", "portable") == "cpu"
    with pytest.raises(InputError, match=r"expected training\.arithmetic fp32 or bf16, got port"):
        find_device("cuda", "portable")


@pytest.mark.slow
def test_a_killed_process_costs_no_result(
    executor: MakeExecutor,
    config: TrainingConfig,
    runs: list[Run],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """As the system does when memory runs out; what starts again gives the same."""
    expected = [result.logits for result in executor()(runs, "undisturbed")]
    training = config.training.model_copy(update={"n_epochs": 30})
    longer = config.model_copy(update={"training": training})
    resources = replace(executor(2).resources, cache=RunCache(tmp_path / "other"))
    execute = executor(resources=resources)
    killer = threading.Thread(target=_kill_a_worker, args=(tmp_path / "other",), daemon=True)
    killer.start()
    results = execute([*runs, *(replace(run, config=longer) for run in runs)], "disturbed")
    killer.join()
    assert "a training process was killed" in capfd.readouterr().err
    assert len(results) == 2 * len(runs)
    for logits, result in zip(expected, results, strict=False):
        assert np.array_equal(logits, result.logits)


def test_what_was_stored_before_a_kill_is_not_trained_again(
    executor: MakeExecutor,
    runs: list[Run],
    trained: list[Run],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pool that breaks loses what it had not handed over, which may be stored all the same."""
    once = Executor._train_once

    def broken(self: Executor, left: Any, label: str) -> Any:
        done = list(once(self, left, label))
        yield done[0]
        monkeypatch.setattr(Executor, "_train_once", once)
        raise BrokenProcessPool

    monkeypatch.setattr(Executor, "_train_once", broken)
    assert len(executor()(runs, "broken")) == len(runs)
    assert trained == runs


def _kill_a_worker(cache: Path) -> None:
    """Kill one when the first training is stored: the long ones are still to come."""
    while not list(cache.rglob("*.safetensors")):
        time.sleep(0.01)
    os.kill(next(iter(reusable_executor._executor._processes)), signal.SIGKILL)
