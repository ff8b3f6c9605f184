"""What a job does on the head before it is `automl run`."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

PROGRAM = """
import signal, sys
from pathlib import Path
from automl.jobs import remote

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # as Ray does in all of its processes
sys.executable = sys.argv[1]
remote._become(Path("there"), "run")
"""
ASKING = """#!%s
import os, signal, sys
print(sys.argv[1:], os.path.basename(os.getcwd()), signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""


def test_a_job_becomes_the_command_line_and_can_be_interrupted_although_ray_blocks_the_signal() -> None:
    Path("there").mkdir()
    script = Path("asking").absolute()
    script.write_text(ASKING % sys.executable, encoding="utf-8")
    script.chmod(0o700)
    command = [sys.executable, "-c", PROGRAM, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)})
    assert done.stdout.split() == ["['-m',", "'automl',", "'run']", "there", "set()"]
