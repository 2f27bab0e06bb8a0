"""A trained model as one ONNX file, which needs nothing of this project to be asked."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import helper

from breast_ultrasound.files import InputError, atomic
from breast_ultrasound.model.artifact import TrainedModel
from breast_ultrasound.model.classifier import predict

TOLERANCE = 1e-4  # of a probability
INPUT, OUTPUT = "images", "malignant_probability"


def export_onnx(model: TrainedModel, images: NDArray[np.uint8], path: Path) -> float:
    """Write a model with its scaling, views, members and calibration, and ask it about images.

    Its input is `images`, uint8 [N, S, S], grey; its output `malignant_probability`, double [N].
    Its metadata hold the card.

    Args:
        images: (N, S, S) uint8, of the model's size, to hold it against torch on.

    Returns:
        the largest difference of a probability from torch's.

    Raises:
        InputError: it is above `TOLERANCE`; nothing is written then.
    """
    content = onnx_of(model)
    expected = predict(model.classifier(), images, "cpu").probability
    difference = float(np.abs(ask(content, images) - expected).max())
    if not difference <= TOLERANCE:
        raise InputError(
            f"{path}: expected torch's probabilities within {TOLERANCE}, got {difference:.2g} apart"
        )
    with atomic(path) as temporary:
        temporary.write_bytes(content)
    return difference


def onnx_of(model: TrainedModel) -> bytes:
    """Return a model as the content of an ONNX file."""
    example = torch.zeros(2, model.card.image_size, model.card.image_size, dtype=torch.uint8)
    with _quiet():
        program: Any = torch.onnx.export(
            model.classifier().eval(),
            (example,),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("N")},),
            dynamo=True,
            verbose=False,
        )
    proto: onnx.ModelProto = program.model_proto
    helper.set_model_props(proto, {"card": json.dumps(model.card.model_dump(mode="json"))})
    content: bytes = proto.SerializeToString()
    return content


def ask(content: bytes, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the probabilities, (N,), that a model of `export_onnx` gives images (N, S, S)."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run([OUTPUT], {INPUT: images})
    return np.asarray(found)


@contextmanager
def _quiet() -> Iterator[None]:
    """Work without the exporter's warnings and notes on its own progress."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(logging.NOTSET)
