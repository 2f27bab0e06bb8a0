import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from breast_ultrasound.data.folds import make_folds
from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.files import InputError
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import Params
from breast_ultrasound.runs.run import RunResult
from breast_ultrasound.search.fold_runs import fold_auc, refuse_diverged, run_on, start_config

NOTHING = np.zeros(0)


def test_a_run_is_of_its_fold(config: TrainingConfig, dev: ImageSet) -> None:
    for fold in make_folds(dev.malignant, dev.group, 3, seed=0):
        run = run_on(config, fold)
        assert (run.config, run.seed) == (config, fold.seed)
        assert np.array_equal(run.train, fold.train)
        assert np.array_equal(run.score, fold.score)
        assert not run.best_epoch


def test_the_start_is_what_the_parameters_say(tiny_params: Params) -> None:
    start = start_config(tiny_params, 0.003)
    assert (start.lr, start.model) == (0.003, tiny_params.model)
    assert (start.training, start.augment) == (tiny_params.training, tiny_params.augment)


def test_a_diverged_training_counts_below_any_other(dev: ImageSet) -> None:
    fold = make_folds(dev.malignant, dev.group, 3, seed=0)[0]
    logits = np.random.default_rng(0).normal(size=len(fold.score)).astype(np.float32)
    truth = dev.malignant[fold.score]
    found = fold_auc(RunResult(logits, np.ones(1), NOTHING), fold, dev.malignant)
    assert found == pytest.approx(roc_auc_score(truth, logits))
    wrong_way = RunResult(np.where(truth, -1, 1).astype(np.float32), np.ones(1), NOTHING)
    lost = RunResult(np.full(len(logits), np.nan, np.float32), NOTHING, NOTHING)
    infinite = RunResult(np.where(truth, np.inf, 0).astype(np.float32), np.ones(1), NOTHING)
    assert fold_auc(wrong_way, fold, dev.malignant) == 0
    assert fold_auc(lost, fold, dev.malignant) == 0
    assert fold_auc(infinite, fold, dev.malignant) == 0


def test_diverged_trainings_are_refused_with_their_rate(
    config: TrainingConfig, dev: ImageSet
) -> None:
    folds = make_folds(dev.malignant, dev.group, 3, seed=0)
    rates = [0.01, 0.5, 0.9]
    runs = [
        run_on(config.model_copy(update={"lr": r}), f) for r, f in zip(rates, folds, strict=True)
    ]
    usual = RunResult(np.zeros(3, np.float32), np.ones(1), NOTHING)
    lost = RunResult(np.full(3, np.nan, np.float32), NOTHING, NOTHING)
    refuse_diverged(runs, [usual] * 3)
    with pytest.raises(InputError, match=r"2 of 3 trainings diverged, at the learning rate 0\.5: "):
        refuse_diverged(runs, [usual, lost, lost])
