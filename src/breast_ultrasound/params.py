"""The parameters in params.yaml, typed and checked.

Every field is required: defaults live in params.yaml alone.
"""

import reprlib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from breast_ultrasound.files import InputError

Stem = Literal["imagenet", "small", "small_strided"]
Standardise = Literal["none", "global", "local"]
Loss = Literal["bce", "focal", "pairwise_auc"]
# portable: fp32, the same bytes on every x86-64 CPU with AVX2; fp32, bf16: as the hardware has it.
Arithmetic = Literal["portable", "fp32", "bf16"]

Seed = Annotated[int, Field(ge=0, lt=2**32)]
LearningRate = Annotated[float, Field(gt=0, le=1)]
Side = Annotated[int, Field(ge=28, le=256)]  # pixels
OFFICIAL_SIDES = (28, 64, 128, 224)  # of BreastMNIST's files
# Channels of the first stage. Below 8, torch 2.14 writes past its memory on CPUs without AVX-512
# (convolutions in channels_last, backward) and dies of it, or worse, does not.
Width = Annotated[int, Field(ge=8, le=256)]
Blocks = Annotated[int, Field(ge=0, le=8)]  # residual blocks of a stage; 0 leaves it out
BlocksOfStages = Annotated[list[Blocks], Field(min_length=4, max_length=4)]
Dropout = Annotated[float, Field(ge=0, lt=1)]  # probability
Smoothing = Annotated[float, Field(ge=0, lt=1)]
WeightDecay = Annotated[float, Field(ge=0, le=1)]
# From 3 on, even batches are never of one image, on which batch norm cannot train.
BatchSize = Annotated[int, Field(ge=3, le=1024)]
Positive = Annotated[float, Field(gt=0, le=100)]
Label = Annotated[str, Field(coerce_numbers_to_str=True)]  # as a table has it; 1 is "1"


class Section(BaseModel):
    """A section of params.yaml: frozen, without unknown keys, NaN or infinity, or yes for 1."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )

    @field_validator("*", mode="before")
    @classmethod
    def refuse_truth(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse true and false where a number is expected, which pydantic takes for 1 and 0."""
        annotation = cls.model_fields[info.field_name or ""].annotation
        if annotation is not bool and _holds_truth(value):
            raise ValueError(f"expected a number or a word, got {value}")
        return value


def _holds_truth(value: Any) -> bool:
    """Whether a value is true or false, or a list that holds one, itself or in a list."""
    if isinstance(value, list):
        return any(_holds_truth(item) for item in value)
    return isinstance(value, bool)


class ColumnParams(Section):
    """Names of a table's columns; `image` may be a template such as `Images/{ID}.png`."""

    image: str = Field(min_length=1)
    label: str = Field(min_length=1)
    patient: str | None
    split: str | None
    subgroups: list[str]  # kept beside each image, for scores by subgroup


class OwnImages(Section):
    """A folder of images: with a table, or with a folder per class, or splits above classes."""

    images: str = Field(min_length=1)  # the folder, of the project's folder if relative
    table: str | None  # CSV or TSV in the folder; null: a folder per class
    columns: ColumnParams  # of the table
    malignant: list[Label] = Field(min_length=1)  # labels
    benign: list[Label] = Field(min_length=1)  # labels, of normal images too
    exclude: list[str]  # patterns of paths in the folder that are left out, as `*_old/*`

    @model_validator(mode="after")
    def check_labels(self) -> Self:
        """No label is both."""
        if both := sorted(set(self.malignant) & set(self.benign)):
            raise ValueError(f"expected labels to be malignant or benign, got both for {both[0]}")
        return self


class Proportions(Section):
    """Of the splits that are made where none are given; they need not sum to 1."""

    train: float = Field(gt=0, le=100)
    val: float = Field(gt=0, le=100)
    test: float = Field(gt=0, le=100)


class DataParams(OwnImages):
    """Where the images come from; with `name: images`, own ones."""

    name: Literal["breastmnist", "images", "phantom"]
    size: Side  # pixels a side
    split: Literal["official", "clean"]
    proportions: Proportions
    show_images: bool  # in figures of own images, which may be private
    also_train: OwnImages  # to learn from, never scored; an empty folder: nothing
    search_path: list[str]
    n_phantoms: int = Field(ge=60, le=5_000)
    phantom_seed: Seed

    @model_validator(mode="after")
    def check_size(self) -> Self:
        """BreastMNIST has four sizes."""
        if self.name == "breastmnist" and self.size not in OFFICIAL_SIDES:
            raise ValueError(f"expected size {OFFICIAL_SIDES} of breastmnist, got {self.size}")
        return self


class PreprocessParams(Section):
    """What counts as a near-duplicate."""

    near_duplicate_correlation: float = Field(gt=0.5, lt=1)  # Pearson's r of pixels


class ModelParams(Section):
    """The network."""

    stem: Stem
    input_size: Side | None  # null: as the images are
    width: Width
    blocks: BlocksOfStages
    dropout: Dropout
    standardise: Standardise  # each image to mean 0 and standard deviation 1, before the rest


class TrainingParams(Section):
    """How one training goes."""

    arithmetic: Arithmetic
    n_epochs: int = Field(ge=1, le=1000)
    batch_size: BatchSize
    optimizer: Literal["adamw", "sgd"]
    schedule: Literal["one_cycle", "constant"]
    warmup: float = Field(gt=0, lt=1)  # fraction of the steps
    weight_decay: WeightDecay
    ema_decay: float = Field(ge=0, lt=1)  # per step; 0 turns the average off
    loss: Loss
    label_smoothing: Smoothing
    malignant_weight: Positive  # weight of a malignant image; a benign one has 1
    focal_gamma: float = Field(ge=0, le=10)


class AugmentParams(Section):
    """How far each training image is changed, at random."""

    flip: float = Field(ge=0, le=1)  # probability of a left-right mirror
    rotation: float = Field(ge=0, le=180)  # degrees either way
    scale: float = Field(ge=0, lt=1)  # fraction either way
    shift: float = Field(ge=0, lt=1)  # fraction of the side, either way
    contrast: float = Field(ge=0, lt=1)  # fraction either way
    brightness: float = Field(ge=0, le=1)  # of the grey range, either way
    gamma: float = Field(ge=0, le=2)  # grey levels to the power of eˣ, x so far either way
    cutout: float = Field(ge=0, lt=1)  # side of the blanked square, fraction of the image's


NO_AUGMENTATION = AugmentParams(
    flip=0,
    rotation=0,
    scale=0,
    shift=0,
    contrast=0,
    brightness=0,
    gamma=0,
    cutout=0,
)


class FoldParams(Section):
    """How dev is cut for every search and estimate."""

    n_splits: int = Field(ge=2, le=20)


class TuneLrParams(Section):
    """The learning-rate search."""

    low: LearningRate
    high: LearningRate
    n_trials: int = Field(ge=1, le=1000)
    round_size: int = Field(ge=1, le=64)  # trials proposed, and run, together
    n_folds: int = Field(ge=1)
    tie: float = Field(ge=0, le=1)  # AUC

    @model_validator(mode="after")
    def check_range(self) -> Self:
        """Refuse an empty range."""
        if self.low >= self.high:
            raise ValueError(f"expected low < high, got low {self.low} and high {self.high}")
        return self


class GridSearchParams(Section):
    """Values to try together; null keeps the one value of the sections above."""

    max_settings: int = Field(ge=1, le=1000)  # of more combinations as many are drawn by seed
    first_epochs: int = Field(ge=1, le=1000)  # of the first rung, on one fold
    reduction: int = Field(ge=2, le=100)  # after each rung 1 in so many goes on
    n_folds: int = Field(ge=1)  # of the last rung
    tie: float = Field(ge=0, le=1)  # AUC
    stem: list[Stem] | None = Field(min_length=1)
    width: list[Width] | None = Field(min_length=1)
    blocks: list[BlocksOfStages] | None = Field(min_length=1)
    input_size: list[Side] | None = Field(min_length=1)
    loss: list[Loss] | None = Field(min_length=1)
    label_smoothing: list[Smoothing] | None = Field(min_length=1)
    malignant_weight: list[Positive] | None = Field(min_length=1)
    dropout: list[Dropout] | None = Field(min_length=1)
    weight_decay: list[WeightDecay] | None = Field(min_length=1)
    lr_multiplier: list[Positive] | None = Field(min_length=1)


class CrossValidateParams(Section):
    """The estimate on dev."""

    n_repeats: int = Field(ge=1, le=100)  # of the grouped folds


class BaselineParams(Section):
    """Torchvision's ResNet-18, trained plainly."""

    weights: Literal["imagenet"] | None
    input_size: Side | None  # null: as the images are
    lr: LearningRate
    n_epochs: int = Field(ge=1, le=1000)
    batch_size: BatchSize


class FinalParams(Section):
    """The ensemble."""

    n_seeds: int = Field(ge=1, le=100)


class EvaluateParams(Section):
    """The bootstrap intervals, on test and on dev."""

    n_bootstrap: int = Field(ge=10, le=100_000)
    confidence: float = Field(gt=0.5, lt=1)


class Params(Section):
    """All of params.yaml."""

    seed: Seed
    lr: LearningRate | None
    data: DataParams
    preprocess: PreprocessParams
    model: ModelParams
    training: TrainingParams
    augment: AugmentParams
    folds: FoldParams
    tune_lr: TuneLrParams
    grid_search: GridSearchParams
    cross_validate: CrossValidateParams
    baseline: BaselineParams
    final: FinalParams
    evaluate: EvaluateParams

    @model_validator(mode="after")
    def check_folds(self) -> Self:
        """A search cannot use more folds than there are."""
        for name, section in (("tune_lr", self.tune_lr), ("grid_search", self.grid_search)):
            if section.n_folds > self.folds.n_splits:
                raise ValueError(
                    f"expected {name}.n_folds at most folds.n_splits = {self.folds.n_splits}, "
                    f"got {section.n_folds}"
                )
        return self


class _PlainLoader(yaml.SafeLoader):
    """YAML's safe loader, refusing aliases and a key that stands twice.

    A few aliases of aliases unfold to more than a machine holds, and of two equal keys PyYAML keeps
    the last in silence.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise InputError("expected plain values, got an alias (*); write the value out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise InputError(f"expected each key once, got {reprlib.repr(key)} twice")
        return super().construct_mapping(node, deep)


def load_params(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        InputError: the file is missing or not YAML, or a key is unknown, missing, of the wrong
            type or out of range; the message names the key, the value and what is allowed.
    """
    try:
        content = _PlainLoader(path.read_text(encoding="utf-8")).get_single_data()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run from the project's root") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected YAML ({' '.join(str(error).split())})") from None
    except IsADirectoryError:
        raise InputError(f"{path}: expected a YAML file, got a folder") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except RecursionError:
        raise InputError(f"{path}: expected plain values, nested too deeply") from None
    except (ValueError, TypeError) as error:  # a date that is none, a number of thousands of digits
        raise InputError(f"{path}: expected plain values ({error})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a mapping of parameters, got {reprlib.repr(content)}")
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: {_first_problem(error)}") from None


def _first_problem(error: ValidationError) -> str:
    """One line on the first problem, and how many more there are."""
    problems = error.errors()
    first = problems[0]
    where = ".".join(str(part) for part in first["loc"])
    match first["type"]:
        case "missing":
            text = f"{where}: expected a value, got none; copy it from the committed params.yaml"
        case "extra_forbidden":
            text = f"{where}: unknown parameter; remove it or correct its name"
        case "value_error":
            message = first["msg"].removeprefix("Value error, ")
            text = f"{where}: {message}" if where else message
        case _:
            expected = first["msg"].replace("Input should be ", "").replace("List should", "to")
            text = f"{where}: expected {expected}, got {reprlib.repr(first['input'])}"
    more = len(problems) - 1
    return text + (f" (and {more} more)" if more else "")
