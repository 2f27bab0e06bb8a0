"""The local page, asked as a browser asks it."""

import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from breast_ultrasound.data.image_set import ImageSet
from breast_ultrasound.model.artifact import ModelCard, TrainedModel, save_model
from breast_ultrasound.model.classifier import predict
from breast_ultrasound.model.training import TrainingConfig, fit, weights_of
from breast_ultrasound.web.page import handler, nearest_learned
from tests.browser import needs_chromium, visit
from tests.runs.clusters import free_port
from tests.training_sets import training_set


@pytest.fixture(scope="module")
def model(card: ModelCard, config: TrainingConfig, dev: ImageSet) -> TrainedModel:
    return TrainedModel(card, [weights_of(fit(config, training_set(dev), 0).model)] * 2)


def upload(folder: Path, image: np.ndarray) -> Path:
    file = folder / "upload.png"
    Image.fromarray(image).save(file)
    return file


def test_an_upload_is_predicted_and_deleted(
    model: TrainedModel, dev: ImageSet, tmp_path: Path
) -> None:
    image = dev.images[3]
    file = upload(tmp_path, image)
    html, cleared = handler(model, None)(str(file))
    probability = predict(model.classifier(), image[None], "cpu").probability[0]
    assert f"<strong>{probability:.2f}</strong>" in html
    assert cleared is None
    assert not file.exists()


def test_a_near_duplicate_of_a_learned_image_is_said(
    model: TrainedModel, dev: ImageSet, tmp_path: Path
) -> None:
    ask = handler(model, dev.thumbnails)
    assert "near-duplicate" in ask(str(upload(tmp_path, dev.images[3])))[0]
    noise = np.random.default_rng(0).integers(0, 256, (28, 28)).astype(np.uint8)
    assert "Unlike all" in ask(str(upload(tmp_path, noise)))[0]


@pytest.mark.parametrize("name", ["broken.png", "<b>.png"])
def test_a_broken_file_is_said_and_deleted(model: TrainedModel, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(b"no picture at all")
    html, _ = handler(model, None)(str(file))
    assert 'role="alert"' in html
    assert "expected an image" in html
    assert str(tmp_path) not in html
    assert "<b>" not in html
    assert not file.exists()


def test_the_nearest_learned_image_of_one_is_itself(dev: ImageSet) -> None:
    (first, correlation), *others = nearest_learned(dev.images[5], dev.thumbnails)
    assert np.array_equal(first, dev.thumbnails[5])
    assert correlation == 1
    assert all(other <= 1 for _, other in others)


def serve(folder: Path, port: int) -> subprocess.Popen[str]:
    """Start the command in a process of its own: its server leaves sockets to the end of one."""
    start = "from breast_ultrasound.cli.app import app; app()"
    words = ["serve", "--model", str(folder / "model"), "--port", str(port)]
    proxies = dict.fromkeys(("http_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9")
    environment = {**os.environ, **proxies, "ALL_PROXY": "socks5://127.0.0.1:9"}
    environment["TMPDIR"] = str(folder)
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", start, *words],
        cwd=folder,
        env=environment,
        stdout=pipe,
        stderr=pipe,
        text=True,
    )


@pytest.mark.slow
@needs_chromium
def test_a_browser_uploads_an_image_a_broken_file_and_one_of_60_megabytes(
    model: TrainedModel, dev: ImageSet, tmp_path: Path
) -> None:
    save_model(tmp_path / "model", replace(model, known=dev.thumbnails))
    image, broken, large = upload(tmp_path, dev.images[0]), tmp_path / "b.png", tmp_path / "c.png"
    broken.write_bytes(b"no picture at all")
    large.write_bytes(os.urandom(60_000_000))
    server = serve(tmp_path, free_port())
    assert server.stdout is not None
    address = server.stdout.readline().split()[0]
    (uploads,) = tmp_path.glob("breast-ultrasound-*")
    with visit(address) as seen:
        page = seen.page
        page.wait_for_selector("input[type=file]", state="attached")
        for file, words in (
            (image, "Probability of malignant"),
            (broken, "expected an image"),
            (large, "exceed the maximum allowed size"),
        ):
            page.set_input_files("input[type=file]", file)
            page.wait_for_selector(f"text={words}")
            kept = [path for path in uploads.rglob("*") if path.is_file() and path.stat().st_size]
            assert not kept
        assert not seen.outside
    server.send_signal(signal.SIGINT)
    server.communicate(timeout=30)
    assert server.returncode == 0
    assert not uploads.exists()


def test_a_port_that_is_taken_is_said(model: TrainedModel, tmp_path: Path) -> None:
    save_model(tmp_path / "model", model)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        server = serve(tmp_path, other.getsockname()[1])
        _, errors = server.communicate(timeout=60)
    assert server.returncode == 2
    assert "is taken; give another" in errors.splitlines()[-1]
