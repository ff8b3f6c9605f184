"""Whether a run ends whole while its W&B fails in four ways.

Connections cut, a full disk, a wrong key, too many requests: each is a whole run on a toy, followed online by W&B's
real SDK against a server on this machine that fails so; then `automl sync` sends the rest to one that works.
The full disk is a real one of its own (tmpfs), which needs root.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from automl.tracking.base import RunInfo, Tracker
from automl.types import TrialSpec
from tests.toys import messages, tiny_bert, write_csv
from tests.tracking.wandb_server import KEY, WandbServer, wandb_server

TROUBLES = ("network", "full_disk", "wrong_key", "rate_limit")
ROOM = "size=8350k"
"""What the full disk holds: the 8 MiB at which tracking stops, and the files of a few trainings."""


class Trouble(Tracker):
    """Makes it, once the first training has told W&B something; collects what the user is told."""

    def __init__(self, kind: str, server: WandbServer) -> None:
        self._kind, self._server = kind, server
        self.lines: list[str] = []
        self.mounted: Path | None = None

    def note(self, text: str) -> None:
        self.lines.append(text)

    def start(self, info: RunInfo) -> None:
        if self._kind == "wrong_key":
            self._server.refusal = "wrong_key"
        if self._kind == "full_disk":
            self.mounted = info.run_directory / "wandb"
            self.mounted.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", ROOM, "none", self.mounted], check=True)

    def trial_reported(self, spec: TrialSpec, row: object) -> None:
        if self._kind not in ("network", "rate_limit") or self._server.refusal is not None:
            return
        deadline = time.monotonic() + 20
        while not any(run.history for run in self._server.runs.values()) and time.monotonic() < deadline:
            time.sleep(0.05)
        self._server.refusal = "cut_off" if self._kind == "network" else "rate_limit"


def point_wandb_at(server: WandbServer, home: Path) -> None:
    """Set W&B's variables for that server, and its own folders out of the user's."""
    os.environ.update({f"WANDB_{place}_DIR": str(home) for place in ("CONFIG", "CACHE", "DATA", "ARTIFACT")})
    os.environ.update(WANDB_BASE_URL=server.url, WANDB_API_KEY=KEY, WANDB_ERROR_REPORTING="false")
    os.environ.update(NETRC=str(home / "no-netrc"), HF_HUB_OFFLINE="1")
    os.environ.pop("WANDB_MODE", None)


def one(kind: str, trials: int) -> bool:
    """Whether a run under this trouble ended as it should; prints what became of it."""
    from automl import api
    from automl.config import make_request
    from automl.leaderboard.store import RunFolder
    from automl.leaderboard.sync import sync_run

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        home = Path(place)
        source, model = write_csv(home / "messages.csv", messages(150)), tiny_bert(home / "bert")
        values = {"source": str(source), "target": "label", "text": "text", "models": str(model), "seeds": 1}
        values |= {"trials": trials, "max_epochs": 2, "out": str(home / "run"), "wandb": "toys", "slots": 1}
        with wandb_server() as failing:
            point_wandb_at(failing, home)
            trouble = Trouble(kind, failing)
            started = time.monotonic()
            try:
                board = api.run(make_request(values | {"wandb_mode": "online"}), trackers=[trouble])
            finally:
                seconds = time.monotonic() - started
                if trouble.mounted is not None:
                    subprocess.run(["mount", "-o", "remount,size=64m", trouble.mounted], check=True)
            told = [line for line in trouble.lines if "W&B" in line and "stays here" not in line]
            folder = RunFolder(home / "run")
            trainings = {result.id: result for result in (*folder.trials(), *folder.baselines())}
            whole = api.verify(folder.path).ok
            print(f"{kind}: the run ended after {seconds:.0f} s; board of {len(board.rows)} rows, {len(trainings)} "
                  f"trainings recorded, automl verify {'finds nothing' if whole else 'FINDS AN EDIT'}; the server "
                  f"refused {failing.refused} requests")  # fmt: skip
            print(*(f"  told: {line}" for line in told), sep="\n")
        with wandb_server() as recovered:
            point_wandb_at(recovered, home)
            written: list[str] = []
            done = sync_run(folder, written.append)
            servers = (failing, recovered)
            ended = {run.id: run for server in servers for run in server.runs.values() if run.exit_code is not None}
            points = sum(len(run.history) for run in ended.values())
        print(f"  automl sync: {done.sent} sent, {done.left} left; both servers together have {len(ended)} runs that "
              f"ended, with {points} lines of history", *done.problems)  # fmt: skip
        print(*(f"  {line}" for line in written), sep="\n", flush=True)
        if trouble.mounted is not None:
            subprocess.run(["umount", "--lazy", trouble.mounted], check=True)
        # each training and the benchmark; one that could not begin online has an id of its own, a second time
        return whole and len(told) == 1 and done.left == 0 and len(ended) > len(trainings)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=TROUBLES, help="one of them, in this process")
    parser.add_argument("--trials", type=int, default=4)
    options = parser.parse_args()
    if options.only:
        sys.exit(0 if one(options.only, options.trials) else 1)
    command = [sys.executable, __file__, "--trials", str(options.trials), "--only"]
    ends = {kind: subprocess.run([*command, kind]).returncode for kind in TROUBLES}  # W&B keeps a process's server
    print(
        "; ".join(
            f"{kind}: {'as it should be' if code == 0 else 'NOT as it should be'}" for kind, code in ends.items()
        )
    )
    sys.exit(any(ends.values()))


if __name__ == "__main__":
    main()
