"""`breast-ultrasound serve`: a local page to ask the trained model."""

import os
import signal
import tempfile
import threading
from typing import Annotated

import typer

from breast_ultrasound.cli.options import (
    DEV,
    Dev,
    Model,
    known_thumbnails,
    open_model,
    say_model,
)

PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def serve(
    port: Annotated[int, typer.Option(min=1024, max=65535, help="On this machine alone.")] = 7860,
    model: Model = None,
    dev: Dev = DEV,
) -> None:
    """Serve a page on this machine: drop an image, see what the model says and why.

    For research: it is not a medical device. Uploads are deleted once predicted. Ends with Ctrl-C.
    """
    folder, trained = open_model(model)
    known = known_thumbnails(trained, dev)
    stop = threading.Event()
    with tempfile.TemporaryDirectory(prefix="breast-ultrasound-") as uploads:
        os.environ |= {"GRADIO_TEMP_DIR": uploads, "GRADIO_ANALYTICS_ENABLED": "False"}
        for name in PROXIES:  # gradio asks its own page whether it is there
            os.environ.pop(name, None)
            os.environ.pop(name.upper(), None)
        from breast_ultrasound.web.page import LOOPBACK, launch

        app = launch(trained, known, port)
        for kind in (signal.SIGINT, signal.SIGTERM):
            signal.signal(kind, lambda *_: stop.set())
        say_model(model, folder)
        typer.echo(f"http://{LOOPBACK}:{port}  (Ctrl-C ends it)")
        stop.wait()
        app.close(verbose=False)
