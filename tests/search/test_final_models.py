from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.data.pictures import TRANSFORM
from breast_ultrasound.evaluation.calibration import platt_scaling
from breast_ultrasound.evaluation.metrics import scores
from breast_ultrasound.files import InputError, write_arrays
from breast_ultrasound.model.classifier import logits_of
from breast_ultrasound.model.training import TrainingConfig, classifier_of, fit
from breast_ultrasound.params import NO_AUGMENTATION, Params
from breast_ultrasound.runs.execute import Executor
from breast_ultrasound.runs.run import RunResult, versions
from breast_ultrasound.search.final_models import (
    baseline_run,
    final_runs,
    history_of,
    read_out_of_fold,
    train_models,
)
from tests.training_sets import training_set


def test_the_baseline_learns_from_train_and_chooses_its_epoch_on_val(
    dev: ImageSet, tiny_params: Params
) -> None:
    params = tiny_params.baseline
    run = baseline_run(params, "portable", dev, 0, None)
    assert (dev.split[run.train] == "train").all()
    assert (dev.split[run.score] == "val").all()
    assert sorted([*run.train, *run.score]) == list(range(len(dev)))
    assert run.best_epoch
    assert run.keep_weights
    assert run.initial_weights is None
    config = run.config
    assert (config.lr, config.augment) == (params.lr, NO_AUGMENTATION)
    assert (config.model.width, config.model.blocks) == (64, [2, 2, 2, 2])
    assert config.training.arithmetic == "portable"
    assert not config.test_time_augmentation
    assert not config.recalibrate_batch_norm
    given = {"conv1.weight": np.zeros(1, np.float32)}
    assert baseline_run(params, "portable", dev, 0, given).initial_weights == given


def test_members_differ_in_their_seed_alone(
    config: TrainingConfig, dev: ImageSet, tiny_params: Params
) -> None:
    learned = np.arange(30)
    runs = final_runs(config, learned, 3, seed=0)
    for run in runs:
        assert run.config == config
        assert np.array_equal(run.train, learned)
        assert run.keep_weights
        assert not len(run.score)
    seeds = [run.seed for run in runs]
    baseline = baseline_run(tiny_params.baseline, "portable", dev, 0, None)
    assert len({*seeds, baseline.seed}) == 4
    assert seeds == [run.seed for run in final_runs(config, learned + 5, 3, seed=0)]
    assert not set(seeds) & {run.seed for run in final_runs(config, learned, 3, seed=1)}
    scoring = final_runs(config, learned, 1, seed=0, score=np.arange(30, 40))[0]
    assert np.array_equal(scoring.score, np.arange(30, 40))
    assert not scoring.keep_weights
    with pytest.raises(InputError, match="expected at least 2 images to train on, got 1"):
        final_runs(config, np.arange(1), 1, seed=0)


def test_cards_say_how_models_were_made(
    config: TrainingConfig,
    dev: ImageSet,
    executor: Callable[..., Executor],
    rng: np.random.Generator,
) -> None:
    own = config.model_copy(update={"test_time_augmentation": False})
    (first, *_) = final_runs(own, np.arange(40), 1, seed=3)
    plan = {
        "baseline": [replace(first, score=np.arange(40, 70), best_epoch=True)],
        "final": final_runs(config, np.arange(len(dev)), 2, seed=0),
    }
    out_of_fold = (rng.normal(size=len(dev)) + 2 * dev.malignant).astype(np.float32)
    execute = executor()
    models = train_models(plan, out_of_fold, 0.93, execute)
    assert list(models) == ["baseline", "final"]
    calibration = platt_scaling(out_of_fold, dev.malignant)
    for name, (model, (columns, rows)) in models.items():
        card = model.card
        assert card.config == plan[name][0].config
        assert card.seeds == [run.seed for run in plan[name]]
        assert (card.image_size, card.transform) == (28, TRANSFORM)
        assert card.near_duplicate_correlation == 0.93
        assert (card.data, card.trained_on) == (execute.data_digest, execute.trained_on)
        assert card.versions == versions()
        assert len(model.weights) == len(plan[name])
        assert len(rows) == card.config.training.n_epochs
        assert "train_loss" in columns
    baseline, final = models["baseline"][0].card, models["final"][0].card
    assert (baseline.temperature, baseline.offset) == (1, 0)
    assert baseline.scores.keys() == {"val_auc"}
    assert (final.temperature, final.offset) == (calibration.temperature, calibration.offset)
    expected = scores(dev.malignant, calibration.probability(out_of_fold))
    assert final.scores == {f"out_of_fold_{name}": value for name, value in expected.items()}
    # The weights are those of the plan's trainings, in its order.
    networks = [fit(config, training_set(dev), seed).model for seed in final.seeds]
    logits = logits_of(classifier_of(config, networks), dev.images, "cpu")
    found = logits_of(models["final"][0].classifier(), dev.images, "cpu")
    np.testing.assert_allclose(found, logits, atol=1e-4)


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (np.zeros((2, 5), np.float32), None),
        (np.zeros((2, 4), np.float32), r"float32 of shape \(repeats, 5\), got float32 .*\(2, 4\)"),
        (np.zeros(5, np.float32), r"got float32 of shape \(5,\)"),
        (np.zeros((2, 5)), "got float64"),
        (np.full((2, 5), np.nan, np.float32), "expected finite numbers"),
        (np.zeros((0, 5), np.float32), "expected finite numbers"),
    ],
)
def test_out_of_fold_logits_are_of_the_images(
    tmp_path: Path, logits: np.ndarray, message: str | None
) -> None:
    write_arrays(tmp_path / "a.npz", {"logits": logits})
    if message is None:
        assert np.array_equal(read_out_of_fold(tmp_path / "a.npz", 5), logits)
    else:
        with pytest.raises(InputError, match=message):
            read_out_of_fold(tmp_path / "a.npz", 5)


def test_a_history_has_a_row_an_epoch() -> None:
    def result(*losses: float, val_auc: tuple[float, ...] = ()) -> RunResult:
        return RunResult(np.zeros(0, np.float32), np.array(losses), np.array(val_auc))

    names, rows = history_of([result(4, 2), result(2, 1)])
    assert names == ["epoch", "train_loss", "member_0", "member_1"]
    assert rows == [[1, 3, 4, 2], [2, 1.5, 2, 1]]
    names, rows = history_of([result(4, 2, val_auc=(0.5, 0.75))])
    assert names == ["epoch", "train_loss", "member_0", "val_auc"]
    assert rows == [[1, 4, 4, 0.5], [2, 2, 2, 0.75]]
