import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joblib.externals.loky import reusable_executor

from breast_ultrasound.data.dataset import ImageSet
from breast_ultrasound.data.folds import make_folds
from breast_ultrasound.files import InputError
from breast_ultrasound.model.training import Hardware, TrainingConfig
from breast_ultrasound.runs import execute as execute_module
from breast_ultrasound.runs.cache import RunCache
from breast_ultrasound.runs.execute import Executor, find_hardware, find_resources
from breast_ultrasound.runs.run import Run, RunResult
from breast_ultrasound.search.fold_runs import run_on

MakeExecutor = Callable[..., Executor]


@pytest.fixture
def runs(config: TrainingConfig, dev: ImageSet) -> list[Run]:
    return [run_on(config, fold) for fold in make_folds(dev.malignant, dev.group, 3, seed=0)]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """The runs that were really trained, in order."""
    seen: list[Run] = []
    real = execute_module.train

    def counting(run: Run, *rest: Any) -> RunResult:
        seen.append(run)
        return real(run, *rest)

    monkeypatch.setattr(execute_module, "train", counting)
    return seen


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


def test_a_failure_keeps_what_was_finished(
    executor: MakeExecutor, runs: list[Run], trained: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = execute_module.train

    def failing(run: Run, *rest: Any) -> RunResult:
        if run is runs[1]:
            raise RuntimeError("power cut")
        return counting(run, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(execute_module, "train", failing)
        with pytest.raises(RuntimeError, match="power cut"):
            executor()(runs, "cut")
    assert trained == runs[:1]
    executor()(runs, "again")
    assert trained == runs


def test_other_images_are_other_runs(
    executor: MakeExecutor, runs: list[Run], trained: list[Run], dev: ImageSet
) -> None:
    executor()(runs[:1], "")
    executor(malignant=~dev.malignant)(runs[:1], "")
    executor(images=255 - dev.images)(runs[:1], "")
    assert len(trained) == 3


def test_the_number_of_workers_changes_no_bit(
    executor: MakeExecutor, runs: list[Run], dev: ImageSet, tmp_path: Path
) -> None:
    alone = executor()(runs, "one worker")
    resources = executor(n_workers=2).resources
    together = Executor(
        dev.images,
        dev.malignant,
        type(resources)(resources.hardware, 2, RunCache(tmp_path / "other")),
    )(runs, "two workers")
    for a, b in zip(alone, together, strict=True):
        assert np.array_equal(a.logits, b.logits)
        assert np.array_equal(a.train_loss, b.train_loss)


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


def test_resources_follow_the_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_resources("cpu", 3, tmp_path)
    assert (found.hardware.device, found.n_workers) == ("cpu", 3)
    assert found.cache.folder == tmp_path / "runs"
    assert find_resources("cpu", 0, None).n_workers >= 1
    for capabilities, precision in (
        ({"avx512_bf16": True}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
        ({"avx2": True}, "fp32"),
    ):
        monkeypatch.setattr("torch.cpu.get_capabilities", lambda c=capabilities: c)
        assert find_hardware("cpu").precision == precision


def test_a_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert find_hardware("auto").device == "cpu"
    with pytest.raises(InputError, match=r"expected a CUDA GPU, found none"):
        find_hardware("cuda")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    # As on a GPU that only emulates bf16.
    monkeypatch.setattr(
        "torch.cuda.is_bf16_supported", lambda including_emulation=True: including_emulation
    )
    assert find_hardware("auto") == Hardware("cuda", "fp32")
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation=True: True)
    assert find_hardware("auto") == Hardware("cuda", "bf16")
    assert find_hardware("cpu").device == "cpu"


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
