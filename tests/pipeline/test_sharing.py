"""Work shared by machines: a DVC remote, and a folder of finished trainings."""

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, Popen

import pytest
from safetensors.numpy import load_file

from tests.runs.clusters import free_port, listens, wait_until
from tools.workspace import TINY, copy_project, environment, run, stage_command

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin:/bin")
WORDS = {"GIT_AUTHOR_NAME": "A Tester", "GIT_AUTHOR_EMAIL": "a@example.org",
         "GIT_COMMITTER_NAME": "A Tester", "GIT_COMMITTER_EMAIL": "a@example.org"}  # fmt: skip


@dataclass(frozen=True)
class Project:
    """A repository, and a host's cache of finished trainings."""

    folder: Path
    env: dict[str, str]

    def __call__(self, *commands: str) -> str:
        done = [run(command.split(" "), self.folder, self.env) for command in commands]
        return "".join(one.stdout + one.stderr for one in done)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = copy_project(tmp_path / "project", TINY)
    made = Project(folder, environment(tmp_path / "cache", **WORDS))
    made("git init -q", "git add -A", "git commit -q -m start")
    return made


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A real SSH server on the loopback interface; yields its port and a key that opens it."""
    keys = tmp_path / "keys"
    keys.mkdir()
    for name in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)], check=True
        )
    port = free_port()
    (keys / "sshd_config").write_text(f"""
        ListenAddress 127.0.0.1:{port}
        HostKey {keys}/host
        AuthorizedKeysFile {keys}/user.pub
        PidFile {keys}/pid
        PasswordAuthentication no
        PermitRootLogin prohibit-password
        StrictModes no
        Subsystem sftp internal-sftp
    """)
    Path("/run/sshd").mkdir(exist_ok=True)
    command = [str(SSHD), "-D", "-e", "-f", str(keys / "sshd_config")]
    with Popen(command, stderr=DEVNULL) as server:
        try:
            wait_until(lambda: listens("127.0.0.1", port))
            yield port, keys / "user"
        finally:
            server.terminate()


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A real S3 server on the loopback interface; yields its URL and a key, which is its secret."""
    port, key = free_port(), secrets.token_hex(16)
    rclone = Path(sys.executable).with_name("rclone")
    command = [rclone, "serve", "s3", f"--addr=127.0.0.1:{port}", f"--auth-key={key},{key}",
               "--config=", f"--cache-dir={tmp_path / 'rclone'}", str(tmp_path)]  # fmt: skip
    (tmp_path / "bucket").mkdir()
    with Popen(command, stderr=DEVNULL) as server:
        try:
            wait_until(lambda: listens("127.0.0.1", port))
            yield f"http://127.0.0.1:{port}", key
        finally:
            server.terminate()


@pytest.mark.slow
@pytest.mark.skipif(SSHD is None or os.geteuid() != 0, reason="needs sshd, and root to start it")
def test_a_clone_pulls_over_ssh_and_runs_nothing(
    project: Project, tmp_path: Path, sshd: tuple[int, Path]
) -> None:
    port, key = sshd
    settings = {"keyfile": str(key), "ask_password": "false", "allow_agent": "false"}
    _push_and_pull(project, tmp_path, f"ssh://root@127.0.0.1:{port}{tmp_path}/store", settings)
    assert any((tmp_path / "store").rglob("*"))


@pytest.mark.slow
def test_a_clone_pulls_from_s3_and_runs_nothing(
    project: Project, tmp_path: Path, s3: tuple[str, str]
) -> None:
    url, key = s3
    settings = {"endpointurl": url, "access_key_id": key, "secret_access_key": key}
    _push_and_pull(project, tmp_path, "s3://bucket/path", settings)
    assert any((tmp_path / "bucket" / "path").rglob("*"))


def _push_and_pull(project: Project, folder: Path, url: str, settings: dict[str, str]) -> None:
    """Push what a repository made; a clone pulls, has nothing to run and trains nothing."""
    mine = [f"dvc remote modify --local store {name} {value}" for name, value in settings.items()]
    project("dvc repro -q", f"dvc remote add -d store {url}", *mine)
    project("git add -A", "git commit -q -m made", "dvc push -q")
    run(["git", "clone", "-q", str(project.folder), str(folder / "clone")], folder, project.env)
    clone = Project(folder / "clone", environment(folder / "other-cache", **WORDS))
    clone(*mine, "dvc pull -q")
    assert "Running stage" not in clone("dvc repro dvc.yaml")
    assert clone("git status --porcelain") == ""
    assert not (folder / "other-cache").exists()


@pytest.mark.slow
def test_two_hosts_fill_one_folder_at_once(tmp_path: Path) -> None:
    """Two clones with four processes each, the same trainings: one result of each, and whole."""
    folders = [tmp_path / name for name in ("project", "one", "other")]
    copy_project(folders[0], TINY, {"cross_validate": {"n_repeats": 6}})
    alone = environment(tmp_path / "alone", BREAST_ULTRASOUND_WORKERS="2")
    for stage in ("download", "preprocess", "tune_lr", "grid_search"):
        run(_command(stage), folders[0], alone)
    before = set((tmp_path / "alone").rglob("*.safetensors"))
    for folder in folders[1:]:
        shutil.copytree(folders[0], folder)
    shared = environment(tmp_path / "shared", BREAST_ULTRASOUND_WORKERS="4")
    started = [
        Popen(_command("cross_validate"), cwd=folder, env=shared, stderr=DEVNULL)
        for folder in folders[1:]
    ]
    run(_command("cross_validate"), folders[0], alone)
    assert [process.wait() for process in started] == [0, 0]
    scores = [(folder / "metrics" / "cross_validate.json").read_bytes() for folder in folders]
    assert scores == [scores[0]] * 3
    files = {path.name: path for path in (tmp_path / "shared").rglob("*") if path.is_file()}
    expected = set((tmp_path / "alone").rglob("*.safetensors")) - before
    assert files.keys() == {path.name for path in expected}  # and nothing half-written
    for path in expected:
        mine, theirs = load_file(path), load_file(files[path.name])
        assert mine.keys() == theirs.keys()
        assert all(mine[name].tobytes() == theirs[name].tobytes() for name in mine)


def _command(stage: str) -> list[str]:
    module, arguments = stage_command(stage)
    return [sys.executable, "-m", module, *arguments]
