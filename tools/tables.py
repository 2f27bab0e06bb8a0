"""What the documents say of metrics: blocks between markers, written from metrics and plots.

    python -m tools.tables          writes them anew, from the workspace (`make docs`)

A block stands between `<!-- NAME -->` and `<!-- /NAME -->` on lines of their own. `make check`
holds the blocks in git's index to the metrics in git's index.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from tools.workspace import ROOT

Read = Callable[[str], str]  # the text of a file of the project, by its path from the root
DOCUMENTS = (
    "README.md",
    "docs/leakage.md",
    "docs/external.md",
    "docs/benchmarks.md",
    "docs/architecture.md",
)
HEADLINES = ("auc", "accuracy")
SUBSETS = ("test", "leak_free", "leaked")


def read_workspace(path: str) -> str:
    """Return the text of a file as it lies in the workspace."""
    return (ROOT / path).read_text(encoding="utf-8")


def metrics(read: Read, name: str) -> dict[str, Any]:
    """Return the content of a metrics file."""
    content: dict[str, Any] = json.loads(read(f"metrics/{name}.json"))
    return content


def csv_rows(read: Read, name: str) -> list[dict[str, str]]:
    """Return the rows of a table under plots/."""
    return list(csv.DictReader(io.StringIO(read(f"plots/{name}"))))


def interval(row: Mapping[str, float], name: str, sign: str = "") -> str:
    """Return a score with its interval."""
    if not row:
        return "–"  # of one class only: it has no AUC
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    return f"{value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def table(heads: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a table in Markdown."""
    cells = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(row)} |" for row in cells]


def data(read: Read) -> list[str]:
    """Return what stands first of the data."""
    counts = metrics(read, "data")
    found, n_test = counts["near_duplicates"], counts["images"]["test"]
    conflicts = found["conflicting_cross_split_pairs"]
    return [
        f"**{found['leaked_test_images']} of {n_test} official test images have a near-duplicate",
        f"in train or val**, and {conflicts} pairs across the splits carry opposite labels.",
    ]


def results(read: Read) -> list[str]:
    """Return the README's table of results."""
    evaluate, pooled = metrics(read, "evaluate"), metrics(read, "cross_validate")["pooled"]
    clean = metrics(read, "studies/clean_split")["evaluate"]["final"]["test"]
    elsewhere = metrics(read, "studies/external")
    counts = metrics(read, "data")["images"]
    final, every = evaluate["final"], f"all {counts['test']} official test images"
    both, alone = (elsewhere[f"{name}_on_bus_bra"] for name in ("both", "breastmnist_final"))
    rows = [
        ["final", f"another hospital, {alone['images']} images", *_cells(alone)],
        ["networks that learned from its other patients too", "the same images", *_cells(both)],
        ["final", f"{counts['test']} test images of clean splits", *_cells(clean)],
        ["networks of grouped folds", "dev, folds that no search used", *_cells(pooled)],
        ["final", every, *_cells(final["test"])],
        ["final − baseline", every, *_cells(evaluate["final_minus_baseline"]["test"], "+")],
    ]
    return table(["model", "scored on", "AUC", "accuracy"], rows)


def _cells(row: Mapping[str, float], sign: str = "") -> list[str]:
    return [interval(row, score, sign) for score in HEADLINES]


def trainings(read: Read) -> list[str]:
    """Return how many trainings each stage asks for, as it ran."""
    trials, ranking = csv_rows(read, "tune_lr.csv"), csv_rows(read, "grid_search.csv")
    longest = max(int(row["n_epochs"]) for row in ranking)
    full = [int(row["n_folds"]) for row in ranking if int(row["n_epochs"]) == longest]
    n_folds = len(csv_rows(read, "fold_scores.csv"))
    members = len(csv_rows(read, "training/final.csv")[0]) - 2  # beside epoch and mean
    rows = [
        ["`tune_lr`", str(sum(int(row["n_folds"]) for row in trials)),
         f"{len(trials)} trials, {sum(r['stopped'] == 'pruned' for r in trials)} pruned"],
        ["`grid_search`", f"{len(ranking)} short, {sum(full)} full",
         f"{len(ranking)} settings, {len(full)} of them beyond the first rung"],
        ["`cross_validate`", str(n_folds), "folds of all repeats"],
        ["`train_final`", str(members + 1), f"{members} members and the baseline"],
    ]  # fmt: skip
    return table(["stage", "trainings", "of"], rows)


def bands(read: Read) -> list[str]:
    """Return the pairs by correlation: do labels agree?"""
    rows = [
        [row["correlation"], row["pairs"], row["opposite_labels"], f"{float(row['share']):.0%}"]
        for row in csv_rows(read, "data/bands.csv")
    ]
    return table(["correlation", "pairs", "opposite labels", "share"], rows)


def copies(read: Read) -> list[str]:
    """Return which altered copies each way of comparing finds."""
    first, *_ = found = csv_rows(read, "studies/duplicates/altered_copies.csv")
    kinds = list(first)[4:]
    rows = [
        [row["compared_by"], row["from"], row["pairs"], row["false_at_most"],
         *(f"{float(row[kind]):.0%}" for kind in kinds)]
        for row in found
    ]  # fmt: skip
    return table(["compared by", "from", "pairs", "false, at most", *kinds], rows)


def cuts(read: Read) -> list[str]:
    """Return what depends on the correlation from which images are near-duplicates."""
    counts, scores = (
        csv_rows(read, "data/thresholds.csv"),
        csv_rows(read, "studies/leakage/cuts.csv"),
    )
    names = ("pairs", "cross_split_pairs", "opposite_labels", "groups", "leaked_test_images")
    models = [f"{model}_{score}" for model in ("baseline", "final") for score in HEADLINES]
    rows = [
        [f"{float(count['near_duplicate_correlation']):.2f}", *(count[name] for name in names),
         *(f"{float(score[name]):.3f}" for name in models)]
        for count, score in zip(counts, scores, strict=True)
    ]  # fmt: skip
    heads = ["near-duplicates from", "pairs", "across splits", "opposite labels", "groups",
             "leaked test images", "baseline: leak-free AUC", "accuracy", "final: leak-free AUC",
             "accuracy"]  # fmt: skip
    return table(heads, rows)


def subsets(read: Read) -> list[str]:
    """Return the scores of models that know test's near-duplicates, and of one that does not."""
    models = metrics(read, "studies/leakage")
    names = ("baseline", "final", "size_matched_control", "retrained", "nearest_neighbour")
    rows = [
        [name.replace("_", " "), score.replace("auc", "AUC"),
         *(interval(models[name].get(subset, {}), score) for subset in SUBSETS)]
        for score in HEADLINES for name in names
    ]  # fmt: skip
    return table(["model", "score", "all test images", "leak-free", "leaked"], rows)


def effects(read: Read) -> list[str]:
    """Return what near-duplicates do to scores."""
    content = metrics(read, "studies/leakage")
    gaps = content.get("leaked_minus_leak_free", {})
    rows = [
        [f"{name.replace('_', ' ')}: leaked − leak-free images",
         *(interval(gaps.get(name, {}), score, "+") for score in HEADLINES)]
        for name in ("baseline", "final", "retrained", "nearest_neighbour")
    ]  # fmt: skip
    words = {"leaked": "leaked", "leak_free": "leak-free", "test": "all test"}
    rows += [
        [f"{model.replace('_', ' ')} − retrained, on {words[subset]} images",
         *(interval(contrast.get(subset, {}), s, "+") for s in HEADLINES)]
        for model in ("final", "size_matched_control")
        for contrast in [content[f"{model}_minus_retrained"]]
        for subset in words
    ]  # fmt: skip
    folds = content["folds"]["ungrouped_minus_grouped"]
    rows.append(["folds that near-duplicates may cross − folds that they may not",
                 interval(folds, "auc", "+"), ""])  # fmt: skip
    return table(["difference", "AUC", "accuracy"], rows)


def augmentation(read: Read) -> list[str]:
    """Return what augmentation is worth."""
    content = metrics(read, "studies/augmentation")
    words = {"folds": "dev, grouped folds", "test": "test, all", "leak_free": "test, leak-free",
             "leaked": "test, leaked"}  # fmt: skip
    rows = [
        [words[name], f"{row['without']:.3f}", f"{row['with']:.3f}", interval(row, "auc", "+")]
        for name, row in content.items()
        if name in words
    ]
    return table(["scored on", "without", "with", "difference"], rows)


def references(read: Read) -> list[str]:
    """Return what other learners score on the same folds."""
    rows = [
        [row["learner"], f"{float(row['fold_auc']):.3f} ± {float(row['fold_auc_se']):.3f}",
         f"{float(row['minus_first']):+.3f} ± {float(row['minus_first_se']):.3f}",
         f"{float(row['accuracy']):.3f}"]
        for row in csv_rows(read, "studies/references.csv")
    ]  # fmt: skip
    recipe = metrics(read, "studies/official_recipe")
    score = f"{recipe['fold_auc']:.3f} ± {recipe['fold_auc_se']:.3f}"
    rows.append(["official recipe, first repeat", score, "–", f"{recipe['accuracy']:.3f}"])
    return table(["learner", "AUC of folds", "− network", "accuracy"], rows)


def agreement(read: Read) -> list[str]:
    """Return recall and precision against the experts' list, by cut."""
    rows = [
        [f"{float(row['near_duplicate_correlation']):.2f}", row["pairs"],
         f"{float(row['recall']):.3f}", f"{float(row['precision']):.3f}",
         row["leaked_test_images"], row["leaked_by_experts"], row["leaked_by_both"]]
        for row in csv_rows(read, "studies/duplicates/agreement.csv")
    ]  # fmt: skip
    return table(["cut", "pairs in groups", "recall", "precision", "leaked test images: ours",
                  "experts'", "both"], rows)  # fmt: skip


def by_image(read: Read) -> list[str]:
    """Return what ungrouped folds add to scores of images with and without a near-duplicate."""
    content = metrics(read, "studies/leakage")["folds"]["by_image"]
    words = {"with_near_duplicate": "with a near-duplicate", "without": "without one",
             "difference": "difference of the two"}  # fmt: skip
    rows = [
        [words[name], *(interval(content.get(measure, {}).get(name, {}), "gain", "+")
                        for measure in ("auc", "true_class_probability"))]
        for name in words
    ]  # fmt: skip
    rows += [
        [f"difference, {kind} images", "", interval(row, "gain", "+")]
        for kind, row in content.get("kinds", {}).items()
    ]
    return table(["dev images", "AUC", "mean probability of the true class"], rows)


def external(read: Read) -> list[str]:
    """Return what models score at home and elsewhere."""
    rows = [
        [row["learned_from"], row["scored_on"], row["images"], _ends(row, "auc"),
         _ends(row, "sensitivity"), _ends(row, "specificity"), _ends(row, "calibration_slope"),
         _ends(row, "calibration_in_the_large"), _ends(row, "patient_auc")]
        for row in csv_rows(read, "studies/external/external.csv")
    ]  # fmt: skip
    return table(["learned from", "scored on", "images", "AUC", "sensitivity", "specificity",
                  "calibration slope", "in the large", "AUC per patient"], rows)  # fmt: skip


def subgroups(read: Read) -> list[str]:
    """Return scores elsewhere by device, reading and histology, where images are enough."""
    found: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in csv_rows(read, "studies/external/subgroups.csv"):
        found.setdefault((row["column"], row["value"]), []).append(row)
    rows = [
        [column, value, own[0]["images"], own[0]["malignant"],
         *(_ends(row, score) for row in own for score in ("auc", "sensitivity", "specificity"))]
        for (column, value), own in found.items() if own[0]["sensitivity"] or own[0]["specificity"]
    ]  # fmt: skip
    return table(["by", "value", "images", "malignant", "final: AUC", "sensitivity", "specificity",
                  "both: AUC", "sensitivity", "specificity"], rows)  # fmt: skip


def referrals(read: Read) -> list[str]:
    """Return the share of wrong decisions by the share of images that are not referred."""
    scored = {"final, official test": "test/risk_coverage_final",
              "final, BUS-BRA": "studies/external/risk_coverage_final",
              "both, BUS-BRA": "studies/external/risk_coverage_both"}  # fmt: skip
    curves = {name: csv_rows(read, f"{path}.csv") for name, path in scored.items()}
    rows: list[list[str]] = []
    for share in (1.0, 0.9, 0.8, 0.7, 0.5, 0.3):
        kept = [curve[round(share * len(curve)) - 1] for curve in curves.values()]
        rows.append([f"{1 - share:.0%}", *(f"{float(row['risk']):.3f}" for row in kept)])
    return table(["referred", *curves], rows)


def resolution(read: Read) -> list[str]:
    """Return what images of each size score."""
    sizes, rows = metrics(read, "studies/resolution"), []
    smallest = sizes["28"]["flops"]
    names = ("dev_folds", "test", "leak_free_test", "BUS_BRA")
    for side, size in sizes.items():
        if side != "trained_on":
            scores = [interval(size.get(name, {}), "auc") for name in names]
            share = f"{size['flops'] / smallest:.1f}"
            rows.append([side, f"`{size['stem']}`", f"{size['lr']:g}", share, *scores])
    return table(["pixels", "stem", "learning rate", "FLOPs, of 28", "dev, folds", "test",
                  "leak-free test", "BUS-BRA"], rows)  # fmt: skip


def looks(read: Read) -> list[str]:
    """Return how much of the maps lies on lesions."""
    found, rows = metrics(read, "studies/explanations"), []
    for name in ("malignant", "benign"):
        row = found[name]
        shares = [f"{row[share]:.3f}" for share in ("share", "other_maps", "area")]
        ends = interval(row, "share_minus_other_maps", "+"), interval(row, "peak")
        rows.append([name, str(row["images"]), *shares, *ends])
    return table(["images", "number", "on the lesion", "maps of other images", "area",
                  "difference, by patient", "peak"], rows)  # fmt: skip


def unlike(read: Read) -> list[str]:
    """Return how well images of other kinds are told."""
    rows = [
        [name.replace("_", " "), str(row["images"]), f"{row['warned']:.0%}",
         interval(row, "auc") if "auc" in row else ""]
        for name, row in metrics(read, "studies/unlike").items()
    ]  # fmt: skip
    return table(["images", "number", "warned of", "AUC against the first"], rows)


def _ends(row: Mapping[str, str], name: str) -> str:
    """Return a score of a table with its interval, or nothing where it has none."""
    values = [row[f"{name}{end}"] for end in ("", "_low", "_high")]
    if not all(values):
        return ""
    value, low, high = (f"{float(text):.3f}" for text in values)
    return f"{value} [{low}, {high}]"


BLOCKS: dict[str, Callable[[Read], list[str]]] = {
    block.__name__: block
    for block in (data, results, trainings, bands, copies, agreement, cuts, subsets, effects,
                  by_image, augmentation, references, external, subgroups, referrals,
                  resolution, looks, unlike)
}  # fmt: skip


def rendered(text: str, read: Read) -> str:
    """Return a document with its blocks made anew.

    Raises:
        KeyError: a marker names no block.
    """

    def block(found: re.Match[str]) -> str:
        lines = "\n".join(BLOCKS[found[1]](read))
        return f"<!-- {found[1]} -->\n{lines}\n<!-- /{found[1]} -->"

    return re.sub(r"<!-- (\w+) -->\n.*?<!-- /\1 -->", block, text, flags=re.DOTALL)


def main() -> None:
    """Write the blocks of every document from the workspace's metrics."""
    for name in DOCUMENTS:
        text = read_workspace(name)
        (ROOT / name).write_text(rendered(text, read_workspace), encoding="utf-8")


if __name__ == "__main__":
    main()
