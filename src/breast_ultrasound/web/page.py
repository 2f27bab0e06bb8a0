"""One image in, what the model says of it out."""

from collections.abc import Callable
from pathlib import Path

import gradio as gr
import numpy as np
from jinja2 import Environment, PackageLoader
from markupsafe import escape
from numpy.typing import NDArray

from breast_ultrasound.data.image_set import thumbnails_of
from breast_ultrasound.data.near_duplicates import best_correlation
from breast_ultrasound.data.pictures import read_picture
from breast_ultrasound.evaluation.explanation import maps_of
from breast_ultrasound.evaluation.prediction import Prediction, predict_images
from breast_ultrasound.files import InputError
from breast_ultrasound.model.artifact import TrainedModel
from breast_ultrasound.report.gallery import data_uri, enlarged, overlaid

N_NEAREST = 3  # learned images shown
MAX_UPLOAD = "20mb"
LOOPBACK = "127.0.0.1"
TITLE = "Breast ultrasound: malignant, or benign or normal"
ABOUT = f"""# {TITLE}
**Not a medical device**: for research, and for no decision about a patient. Drop an image, DICOM
too. It is read on this machine, leaves it for nowhere, and is deleted once it has been predicted.
"""
TEMPLATES = Environment(loader=PackageLoader("breast_ultrasound.web"), autoescape=True)


def launch(trained: TrainedModel, known: NDArray[np.uint8] | None, port: int) -> gr.Blocks:
    """Serve the page on this machine alone, in threads; returns what closes it.

    Args:
        known: (K, 28, 28) uint8, thumbnails of the images that the model learned from; None: not
            known.

    Raises:
        InputError: the port is taken.
    """
    app = gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(60, 60))
    with app:
        gr.Markdown(ABOUT)
        # Of any type: what is refused here would stay.
        file = gr.File(label="Image", type="filepath")
        result = gr.HTML()
        file.upload(handler(trained, known), inputs=file, outputs=[result, file])
    try:
        app.launch(
            server_name=LOOPBACK,
            server_port=port,
            max_file_size=MAX_UPLOAD,
            theme=gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
            footer_links=[],
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            ssr_mode=False,
        )
    except OSError:
        raise InputError(f"--port: {port} is taken; give another") from None
    return app


def handler(
    trained: TrainedModel, known: NDArray[np.uint8] | None
) -> Callable[[str], tuple[str, None]]:
    """Return what answers an upload: it is deleted, whatever comes of it."""

    def predict_upload(path: str) -> tuple[str, None]:
        file = Path(path)
        try:
            return describe(file, trained, known), None
        except InputError as error:
            words = str(error).replace(f"{file.parent}/", "")
            return f'<p role="alert">{escape(words)}</p>', None
        finally:
            file.unlink(missing_ok=True)

    return predict_upload


def describe(file: Path, trained: TrainedModel, known: NDArray[np.uint8] | None) -> str:
    """Return what a model says of a picture, as HTML.

    Raises:
        InputError: the picture cannot be read.
    """
    image = read_picture(file, trained.card.image_size)
    (one,) = predict_images([(file.name, image)], trained, known)
    found = maps_of(trained.classifier(), image[None])[0]
    return _rendered(one, image, found, trained, known)


def _rendered(
    one: Prediction,
    image: NDArray[np.uint8],
    found: NDArray[np.float64],
    trained: TrainedModel,
    known: NDArray[np.uint8] | None,
) -> str:
    near = [] if known is None else nearest_learned(image, known)
    return TEMPLATES.get_template("prediction.html").render(
        one=one,
        points=trained.card.operating_points,
        image=data_uri(enlarged(image)),
        overlay=data_uri(overlaid(image, found)),
        nearest=[(data_uri(enlarged(thumbnail)), correlation) for thumbnail, correlation in near],
    )


def nearest_learned(
    image: NDArray[np.uint8], known: NDArray[np.uint8]
) -> list[tuple[NDArray[np.uint8], float]]:
    """Return the thumbnails that an image (S, S) correlates with most, the nearest first."""
    correlation = best_correlation(thumbnails_of(image[None]), known)[0]
    order = np.argsort(-correlation, kind="stable")[:N_NEAREST]
    return [(known[i], float(correlation[i])) for i in order]
