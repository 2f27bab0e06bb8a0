"""How well scores rank: the areas under the ROC and the precision–recall curve.

Both equal scikit-learn's (a test), which spends most of its time on checking its input: an
evaluation calls them in every draw of its bootstraps.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def auc(positive: NDArray[np.bool_], score: NDArray[np.floating[Any]]) -> float:
    """Return the area under the ROC curve, as the Mann-Whitney U statistic.

    Args:
        positive: (N,) bool, both classes present.
        score: (N,), higher for positive; ties count half.
    """
    from scipy.stats import rankdata

    n_positive = int(positive.sum())
    n_pairs = n_positive * (len(positive) - n_positive)
    smallest_sum = n_positive * (n_positive + 1) / 2
    return float((rankdata(score)[positive].sum() - smallest_sum) / n_pairs)


def average_precision(positive: NDArray[np.bool_], score: NDArray[np.floating[Any]]) -> float:
    """Return the sum of the precisions at each threshold, weighted by the gains in recall.

    Args:
        positive: (N,) bool, at least one.
        score: (N,), higher for positive; equal scores share a threshold.
    """
    order = np.argsort(-score)
    ends = np.append(np.diff(score[order]) != 0, True)  # of runs of equal scores
    n_found = positive[order].cumsum()[ends]
    n_predicted = np.nonzero(ends)[0] + 1
    return float((n_found / n_predicted * np.diff(n_found, prepend=0)).sum() / n_found[-1])
