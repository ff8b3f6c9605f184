"""What a job does on the head of a cluster: `python -m automl.jobs.remote run|resume|offer JOB`.

Everything of a job lies in $AUTOML_JOBS/JOB on the head (default ~/automl-jobs/JOB): the request, the files that it
names, and the run folder. Ray deletes the folder that it starts a job in once the job has ended.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml

from automl.errors import ClusterError, UserError
from automl.jobs.package import FILES, REQUEST

HOME_VARIABLE = "AUTOML_JOBS"
OFFERS = "automl"
"""The folder of offers below a session's logs."""
MANIFEST, RUN = "manifest.json", "run"
_JOB = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LEFT_BEHIND = ("cache", "checkpoints")
"""What a run can do without (and resume makes anew): most of its bytes."""
_NEVER = (".lock", ".spare")


def home_of(job: str) -> Path:
    """The folder of a job on this machine, the head. Raises ClusterError where it is no job's name."""
    if not _JOB.fullmatch(job):
        raise ClusterError(f"{job!r} is no name of a job", "letters, digits, '.', '_' and '-'", "Check it")
    return Path(os.environ.get(HOME_VARIABLE) or "~/automl-jobs").expanduser().absolute() / job


def run(job: str) -> NoReturn:
    """Take what came with the job to where it lasts, and become `automl run` there."""
    home = home_of(job)
    home.mkdir(parents=True, mode=0o700)
    if Path(FILES).is_dir():
        shutil.copytree(FILES, home / FILES)
    shutil.copyfile(REQUEST, home / REQUEST)
    _become(home, "run", "--config", REQUEST)


def resume(job: str) -> NoReturn:
    """Become `automl resume` of the run that an earlier job began, or `automl run` where it had not come that far."""
    run_folder = _run_folder(job)
    if (run_folder / REQUEST).exists():
        _become(home_of(job), "resume", str(run_folder))
    _become(home_of(job), "run", "--config", REQUEST)


def offer(job: str, name: str, everything: bool) -> None:
    """Put a run folder where the dashboard hands out logs, under a name, with a list of its files beside it."""
    run_folder, place = _run_folder(job), _session_of(Path.cwd()) / "logs" / OFFERS / name
    if not (run_folder / REQUEST).exists():
        raise ClusterError(f"the job {job} has no run folder yet", "a run that has begun", f"See: automl logs {job}")
    place.mkdir(parents=True)
    (place / RUN).symlink_to(run_folder, target_is_directory=True)
    files = list(list_files(run_folder, everything))
    # last and whole: its being there says that the rest is
    temporary = place / f".{MANIFEST}"
    temporary.write_text(json.dumps({"files": files}), encoding="utf-8")
    os.replace(temporary, place / MANIFEST)


def list_files(run_folder: Path, everything: bool) -> Iterator[dict[str, Any]]:
    """{"path", "bytes", "sha256"} of every file that travels, the request first, then the records, then the rest."""
    found = []
    for directory, names, files in os.walk(run_folder):
        here = Path(directory)
        if here == run_folder and not everything:
            names[:] = [name for name in names if name not in _LEFT_BEHIND]
        names[:] = [name for name in names if not (here / name).is_symlink()]
        for file in files:
            path = here / file
            if file not in _NEVER and not file.endswith(".tmp") and path.is_file() and not path.is_symlink():
                found.append(path.relative_to(run_folder))
    for path in sorted(found, key=lambda path: (path != Path(REQUEST), path.suffix != ".jsonl", path)):
        size, digest = (run_folder / path).stat().st_size, hashlib.sha256()
        with open(run_folder / path, "rb") as opened:
            left = size  # what a run that goes on adds meanwhile is of the next offer
            while left and (block := opened.read(min(left, 1 << 20))):
                digest.update(block)
                left -= len(block)
        yield {"path": path.as_posix(), "bytes": size, "sha256": digest.hexdigest()}


def _run_folder(job: str) -> Path:
    home = home_of(job)
    if not (home / REQUEST).is_file():
        raise ClusterError(
            f"{home} does not exist on the head",
            "the folder of a job that was sent with `automl submit` and has begun",
            f"Check the name, and that {HOME_VARIABLE} is what it was then",
        )
    return home / str(yaml.safe_load((home / REQUEST).read_text(encoding="utf-8"))["out"])


def _session_of(place: Path) -> Path:
    """The folder of the Ray session in which Ray has started this process."""
    for folder in (place, *place.parents):
        if folder.name.startswith("session_") and (folder / "logs").is_dir():
            return folder
    raise ClusterError(f"{place} is in no session of Ray", "a job that Ray has started", "Use automl fetch")


def _become(home: Path, *arguments: str) -> NoReturn:
    """Be the command line in place of this process, so that a signal that Ray sends reaches it."""
    code = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(path for path in (code, os.environ.get("PYTHONPATH", "")) if path)
    os.chdir(home)
    sys.stdout.flush()
    # Ray blocks it in all of its processes, and their children; a run that is told to stop raises it
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.execve(sys.executable, [sys.executable, "-m", "automl", *arguments], {**os.environ, "PYTHONPATH": paths})


def main(arguments: Sequence[str]) -> int:
    verb, job, *rest = arguments
    try:
        if verb == "offer":
            offer(job, rest[0], "--all" in rest[1:])
        else:
            {"run": run, "resume": resume}[verb](job)
    except UserError as error:
        print(f"automl: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
