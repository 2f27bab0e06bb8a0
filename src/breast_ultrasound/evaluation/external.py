"""What a model is worth on labelled images of any origin: per image, per patient, by subgroup."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.evaluation.calibration import platt_scaling
from breast_ultrasound.evaluation.intervals import share_interval
from breast_ultrasound.evaluation.metrics import scores_with_intervals
from breast_ultrasound.evaluation.operating_points import scores_at
from breast_ultrasound.files import InputError
from breast_ultrasound.params import EvaluateParams

TABLE_SCORES = ("auc", "accuracy", "sensitivity", "specificity", "calibration_slope",
                "calibration_in_the_large")  # fmt: skip
MIN_IMAGES, MIN_GROUPS = 10, 5  # of a class, for a subgroup to be scored on it
N_FOLDS = 5  # of the local calibration


@dataclass(frozen=True)
class ScoredImages:
    """Images, and the probabilities that some model gives them, which did not learn from them.

    Attributes:
        learned_from, scored_on: in words.
        images: N images.
        probability: (N,) float64 of malignant.
    """

    learned_from: str
    scored_on: str
    images: ImageSet
    probability: NDArray[np.float64]

    def subset(self, chosen: NDArray[np.bool_], scored_on: str) -> "ScoredImages":
        """Return those that a mask, (N,) bool, chooses, under another name."""
        images = self.images.subset(chosen)
        return replace(
            self, scored_on=scored_on, images=images, probability=self.probability[chosen]
        )

    def per_patient(self) -> "ScoredImages":
        """Return one image per patient: the one of highest probability, malignant if any is.

        Images of unknown patients stand for themselves.
        """
        unknown = np.array([f"\0{i}" for i in range(len(self.images))])
        patient = np.where(self.images.patient == "", unknown, self.images.patient)
        order = np.argsort(-self.probability, kind="stable")
        _, first, member = np.unique(patient[order], return_index=True, return_inverse=True)
        malignant = np.bincount(member, self.images.malignant[order]) > 0
        highest = order[first]
        images = replace(self.images.subset(highest), malignant=malignant)
        return replace(self, images=images, probability=self.probability[highest])


def score_row(scored: ScoredImages, interval: EvaluateParams, seed: int) -> dict[str, Any]:
    """Return every score with its interval over groups, and what was scored."""
    images = scored.images
    return {
        "images": len(images),
        "malignant": int(images.malignant.sum()),
        **scores_with_intervals(images.malignant, scored.probability, images.group, interval, seed),
    }


def score_rows(
    scored: Sequence[ScoredImages], interval: EvaluateParams, seed: int
) -> list[dict[str, Any]]:
    """Return the scores of several, each with what was learned from and scored."""
    rows = []
    for one in scored:
        words = {"learned_from": one.learned_from, "scored_on": one.scored_on}
        row = {**words, **score_row(one, interval, seed)}
        if (one.images.patient != "").any():
            patients = one.per_patient()
            own = scores_with_intervals(
                patients.images.malignant, patients.probability, patients.images.group,
                interval, seed,
            )  # fmt: skip
            row |= {"patients": len(patients.images)}
            row |= {f"patient_{name}": own[name] for name in ("auc", "auc_low", "auc_high")}
        rows.append(row)
    return rows


def key_of_row(row: dict[str, Any]) -> str:
    """Return a row's name in metrics: words without spaces."""
    words = f"{row['learned_from']}_on_{row['scored_on']}".lower()
    return words.replace(", ", "_").replace(" ", "_").replace("-", "_")


def table_of(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Return column names and rows for a CSV."""
    columns = ["learned_from", "scored_on", "images", "malignant", *_with_ends(TABLE_SCORES)]
    columns += ["patients", "patient_auc", "patient_auc_low", "patient_auc_high"]
    return columns, [[row.get(name, "") for name in columns] for row in rows]


def subgroup_rows(
    scored: Sequence[ScoredImages], by: Sequence[str], interval: EvaluateParams, seed: int
) -> list[dict[str, Any]]:
    """Return the scores of several by subgroup: one row per column, predictions and value.

    Args:
        by: columns of the images whose values make subgroups; those with too few images lack
            scores.
    """
    return [
        {"column": column, "value": value, "learned_from": one.learned_from, **row}
        for column in by
        for one in scored
        for value, row in _by_column(one, column, interval, seed).items()
    ]


def subgroup_table(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Return column names and rows of `subgroup_rows` for a CSV."""
    scores = _with_ends(("auc", "sensitivity", "specificity"))
    columns = ["column", "value", "learned_from", "images", "malignant", *scores]
    return columns, [[row.get(name, "") for name in columns] for row in rows]


def _with_ends(scores: Sequence[str]) -> list[str]:
    return [f"{score}{end}" for score in scores for end in ("", "_low", "_high")]


def evaluate_images(
    scored: ScoredImages,
    points: dict[str, float],
    by: Sequence[str],
    recalibrate: bool,
    interval: EvaluateParams,
    seed: int,
) -> dict[str, Any]:
    """Return the content of `breast-ultrasound evaluate --json`.

    Args:
        points: operating points of the model, thresholds by name.
        by: columns whose values make subgroups.
        recalibrate: what a local Platt scaling would give, too.

    Raises:
        InputError: a column of `by` is not there.
    """
    images = scored.images
    content: dict[str, Any] = {"per_image": score_row(scored, interval, seed)}
    if (images.patient != "").any():
        content["per_patient"] = score_row(scored.per_patient(), interval, seed)
    content["operating_points"] = scores_at(
        images.malignant, scored.probability, images.group, points, interval.confidence
    )
    if recalibrate:
        content["recalibrated"] = score_row(recalibrated(scored), interval, seed)
    content["subgroups"] = {name: _by_column(scored, name, interval, seed) for name in by}
    return content


def _by_column(
    scored: ScoredImages, name: str, interval: EvaluateParams, seed: int
) -> dict[str, Any]:
    """Return the scores of each value's images; see `_subgroup`."""
    columns = scored.images.columns
    if name not in columns:
        have = ", ".join(columns) or "none"
        raise InputError(f"--by: expected columns of the table, got {name!r}; read were {have}")
    rows = {}
    for value in np.unique(columns[name]).tolist():
        own = scored.subset(columns[name] == value, value)
        rows[value or "(none)"] = _subgroup(own, interval, seed)
    return rows


def _subgroup(own: ScoredImages, interval: EvaluateParams, seed: int) -> dict[str, Any]:
    """Return every score where both classes have enough images; else what one class alone says.

    That is the sensitivity of malignant images, as of a histology, or the specificity of benign
    ones. Too few of both are counted.
    """
    images = own.images
    classes = {"sensitivity": images.malignant, "specificity": ~images.malignant}
    enough = {
        score: of.sum() >= MIN_IMAGES and len(np.unique(images.group[of])) >= MIN_GROUPS
        for score, of in classes.items()
    }
    if all(enough.values()):
        return score_row(own, interval, seed)
    row: dict[str, Any] = {"images": len(images), "malignant": int(images.malignant.sum())}
    right = (own.probability >= 0.5) == images.malignant
    for score, of in classes.items():
        if enough[score]:
            low, high = share_interval(right[of], images.group[of], interval.confidence)
            row |= {score: float(right[of].mean()), f"{score}_low": low, f"{score}_high": high}
    return row


def recalibrated(scored: ScoredImages) -> ScoredImages:
    """Return the same with the probabilities of a local Platt scaling, cross-fitted by group.

    Each fold's calibration is chosen on the other folds.

    Raises:
        InputError: there are too few groups of a class.
    """
    from scipy.special import logit
    from sklearn.model_selection import StratifiedGroupKFold

    truth, group = scored.images.malignant, scored.images.group
    n_rarest = min(len(np.unique(group[truth])), len(np.unique(group[~truth])))
    if n_rarest < N_FOLDS:
        raise InputError(
            f"--recalibrate: expected at least {N_FOLDS} patients of each class, got {n_rarest}; "
            "leave it out"
        )
    odds = logit(np.clip(scored.probability, 1e-7, 1 - 1e-7))
    probability = np.empty(len(odds))
    folds = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=0)
    for learned, held_out in folds.split(truth, truth, group):
        calibration = platt_scaling(odds[learned], truth[learned])
        probability[held_out] = calibration.probability(odds[held_out])
    return replace(scored, probability=probability)


def net_benefit(
    malignant: NDArray[np.bool_], probability: NDArray[np.float64], thresholds: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the net benefit at each threshold probability, (T,).

    True positives less false positives weighted by the odds of the threshold, per image (Vickers
    and Elkin 2006, https://doi.org/10.1177/0272989X06295361).
    """
    predicted = probability[None, :] >= thresholds[:, None]
    true = (predicted & malignant).mean(axis=1)
    false = (predicted & ~malignant).mean(axis=1)
    benefit: NDArray[np.float64] = true - false * thresholds / (1 - thresholds)
    return benefit


def loess(
    x: NDArray[np.float64], y: NDArray[np.float64], places: NDArray[np.float64], span: float = 0.75
) -> NDArray[np.float64]:
    """Return a local linear fit of y at places, (P,), with tricube weights (Cleveland 1979).

    Args:
        x, y: (N,).
        span: share of the points that each fit looks at.
    """
    n_near = max(2, round(span * len(x)))
    fitted = np.empty(len(places))
    for i, place in enumerate(places):
        distance = np.abs(x - place)
        reach = max(np.partition(distance, n_near - 1)[n_near - 1], 1e-6)
        weight = np.clip(1 - (distance / reach) ** 3, 0, None) ** 3
        columns = np.stack([np.ones(len(x)), x - place], axis=1) * np.sqrt(weight)[:, None]
        fitted[i] = np.linalg.lstsq(columns, y * np.sqrt(weight), rcond=None)[0][0]
    return fitted
