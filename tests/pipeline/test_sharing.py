"""Work shared by machines: a DVC remote, and a folder of finished trainings."""

import os
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


@pytest.mark.slow
@pytest.mark.skipif(SSHD is None or os.geteuid() != 0, reason="needs sshd, and root to start it")
def test_a_clone_pulls_over_ssh_and_runs_nothing(
    project: Project, tmp_path: Path, sshd: tuple[int, Path]
) -> None:
    port, key = sshd
    remote = (
        f"dvc remote add -d store ssh://root@127.0.0.1:{port}{tmp_path}/store",
        f"dvc remote modify --local store keyfile {key}",
        "dvc remote modify --local store ask_password false",
        "dvc remote modify --local store allow_agent false",
    )
    project("dvc repro -q", *remote, "git add -A", "git commit -q -m made", "dvc push -q")
    assert any((tmp_path / "store").rglob("*"))
    run(["git", "clone", "-q", str(project.folder), str(tmp_path / "clone")], tmp_path, project.env)
    clone = Project(tmp_path / "clone", environment(tmp_path / "other-cache", **WORDS))
    clone(*remote[1:], "dvc pull -q")
    assert "Running stage" not in clone("dvc repro dvc.yaml")
    assert clone("git status --porcelain") == ""
    assert not (tmp_path / "other-cache").exists()  # nothing was trained


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
