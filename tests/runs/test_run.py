import inspect
import json
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.model.training import TrainingConfig
from breast_ultrasound.params import Section
from breast_ultrasound.runs import run as run_module
from breast_ultrasound.runs.run import TRAINING_CODE, Run, digest_of, key_of, train, without_words
from tests.imports import all_imports
from tools.workspace import ROOT

PACKAGE = ROOT / "src" / "breast_ultrasound"
# Read settings and files; what they read is in the key or checked, and they compute no score.
NOT_DECISIVE = {"params.py", "files.py"}
WORDS = textwrap.dedent(
    '''
    """Of the module."""  # a reason

    X = "a text is no docstring"  # another


    class A:
        """Of the class."""

        def f(self, x: int = 1) -> str:
            """Of the function."""
            if x:  # a case
                return f"{x:>{len(X)}} {'quoted'} {X!r} {{}}"
            return 'it"s'
    '''
)


def _run(config: TrainingConfig) -> Run:
    return Run(config, 0, np.arange(10), np.arange(10, 15))


def test_the_key_covers_exactly_the_code_that_trains() -> None:
    imported = all_imports(PACKAGE / "runs" / "run.py") | {PACKAGE / "runs" / "run.py"}
    names = {str(path.relative_to(PACKAGE)) for path in imported}
    assert names - NOT_DECISIVE == set(TRAINING_CODE)


@pytest.mark.filterwarnings("ignore:Pydantic serializer")
def test_the_key_changes_with_all_that_decides_a_result(
    config: TrainingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _run(config)
    key = key_of(run, "data", "here")
    assert key == key_of(_run(config), "data", "here")
    others = [
        *(replace(run, config=other) for other in _configs_with_one_leaf_changed(config)),
        replace(run, seed=1),
        replace(run, train=np.arange(9)),
        replace(run, score=np.arange(10, 14)),
        replace(run, keep_weights=True),
        replace(run, best_epoch=True),
        replace(run, initial_weights={"conv1.weight": np.zeros(1, dtype=np.float32)}),
    ]
    keys = [key_of(other, "data", "here") for other in others]
    keys += [key_of(run, "other data", "here"), key_of(run, "data", "elsewhere")]
    for name, value in (("code_digest", lambda: "other"), ("versions", dict)):
        with monkeypatch.context() as patch:
            patch.setattr(run_module, name, value)
            keys.append(key_of(run, "data", "here"))
    assert len({key, *keys}) == len(keys) + 1


def _configs_with_one_leaf_changed(config: TrainingConfig) -> Iterator[TrainingConfig]:
    """Yield configurations that no reader of values needs to understand: any other leaf will do."""
    for name, value in config:
        if isinstance(value, Section):
            for leaf in type(value).model_fields:
                yield config.model_copy(update={name: value.model_copy(update={leaf: "other"})})
        else:
            yield config.model_copy(update={name: "other"})


def test_the_digest_sees_name_type_shape_and_value() -> None:
    arrays = [
        {"a": np.arange(6)},
        {"b": np.arange(6)},
        {"a": np.arange(6, dtype=np.int32)},
        {"a": np.arange(6).reshape(2, 3)},
        {"a": np.arange(1, 7)},
        {},
    ]
    assert len({digest_of(a) for a in arrays}) == len(arrays)
    assert digest_of({"a": np.arange(6)[::2]}) == digest_of({"a": np.array([0, 2, 4])})


def test_the_code_digest_is_of_what_each_file_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Comments, docstrings and layout keep every stored training; a constant keeps none."""
    for name in TRAINING_CODE:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(PACKAGE / name, tmp_path / name)
    monkeypatch.setattr(run_module, "__file__", str(tmp_path / "runs" / "run.py"))
    shipped = run_module.code_digest.__wrapped__()
    for name in TRAINING_CODE:
        path, text = tmp_path / name, (PACKAGE / name).read_text()
        first, rest = text.split('"""\n', 1)
        path.write_text(f'"""Other words."""\n# A reason.\n\n{rest}\n# The end.\n')
        assert first.startswith('"""')
        assert run_module.code_digest.__wrapped__() == shipped, name
        path.write_text(f"{text}\nANOTHER = 1\n")
        assert run_module.code_digest.__wrapped__() != shipped, name
        path.write_text(text)
    losses = tmp_path / "model" / "losses.py"
    losses.write_text(losses.read_text().replace("1 - ", "2 - ", 1))
    assert run_module.code_digest.__wrapped__() != shipped


def test_without_words_leaves_what_a_module_does() -> None:
    for old, new in (
        ("Of the module.", "Other."),
        ("# a reason", ""),
        ("Of the class.", "A\n\n    longer text."),
        ('        """Of the function."""\n', ""),
        ('"a text is no docstring"', "'a text is no docstring'"),
        ("X = ", "X  =  "),
        ("# a case", "# another case"),
    ):
        assert old in WORDS
        assert without_words(WORDS.replace(old, new)) == without_words(WORDS), old
    for old, new in (
        ("a text is no docstring", "another text"),
        ("x: int = 1", "x: int = 2"),
        ("'quoted'", "'other'"),
        ("if x:", "if not x:"),
        ("class A", "class B"),
        ("int = 1", "int = None"),
    ):
        assert old in WORDS
        assert without_words(WORDS.replace(old, new)) != without_words(WORDS), old
    alone = 'def f():\n    """Of a function that does nothing."""\n'
    assert without_words(alone) == without_words(alone.replace("that does", "which does"))
    assert without_words(alone) != without_words("def f():\n    return 1\n")


def _other_pythons() -> dict[str, str]:
    """Return supported Pythons beside this one that run here, by version."""
    found = [shutil.which(name) for name in ("python3.12", "python3.13", "python3.14")]
    pyenv = sorted(Path.home().glob(".pyenv/versions/3.1[234]*/bin/python"))
    pythons = {}
    for python in [*filter(None, found), *map(str, pyenv)]:
        asked = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        done = subprocess.run(asked, text=True, capture_output=True, check=False)
        if done.returncode == 0:
            pythons.setdefault(done.stdout.strip(), python)
    return pythons


def test_other_pythons_find_the_same_stored_trainings() -> None:
    """The text of the code is part of every key: it must not hang on Python's version."""
    pythons = _other_pythons()
    if not pythons:
        pytest.skip("no other Python from 3.12 on is installed")
    sources = [WORDS, *((PACKAGE / name).read_text() for name in TRAINING_CODE)]
    script = "\n".join(
        [
            "import ast, json, sys\nfrom typing import Any",
            inspect.getsource(without_words),
            "print(json.dumps([without_words(text) for text in json.load(sys.stdin)]))",
        ]
    )
    expected = [without_words(text) for text in sources]
    for version, python in pythons.items():
        done = subprocess.run(
            [python, "-I", "-c", script],
            input=json.dumps(sources),
            text=True,
            capture_output=True,
            check=True,
        )
        for name, one, other in zip(
            ("words", *TRAINING_CODE), expected, json.loads(done.stdout), strict=True
        ):
            assert one == other, f"{name} by Python {version}"


def test_a_training_that_diverges_is_a_result(config: TrainingConfig, dev: ImageSet) -> None:
    sgd = config.training.model_copy(update={"optimizer": "sgd", "n_epochs": 5})
    wild = config.model_copy(update={"lr": 1e6, "training": sgd})
    run = Run(wild, 0, np.arange(40), np.arange(40, 60), keep_weights=True)
    result = train(run, dev.images, dev.malignant)
    assert result.diverged
    assert (result.logits.shape, result.logits.dtype) == ((20,), np.float32)
    assert np.isnan(result.logits).all()
    assert (len(result.train_loss), len(result.val_auc), result.weights) == (0, 0, {})
    usual = train(replace(run, config=config), dev.images, dev.malignant)
    assert not usual.diverged
    assert np.isfinite(usual.logits).all()
