"""When a search's process is killed, the processes that it started are ended; when it ends by itself, they are not."""

import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.processes import alive
from tests.waiting import wait_until

PROGRAM = """
import subprocess, sys, time
from pathlib import Path
from tune_sentiment.search.reaper import reaping
sleeper = "import time; time.sleep(120)"
nested = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {sleeper!r}]); {sleeper}"
with reaping(Path(sys.argv[2])):
    subprocess.Popen([sys.executable, "-c", nested], start_new_session=True)
    time.sleep(float(sys.argv[1]))
"""


def test_all_that_a_killed_process_had_started_is_ended_also_what_those_started(tmp_path: Path) -> None:
    killed = subprocess.Popen([sys.executable, "-c", PROGRAM, "120", tmp_path])
    me = psutil.Process(killed.pid)
    wait_until(lambda: len(me.children(recursive=True)) == 3, 20, "the reaper and two sleepers")
    time.sleep(1.5)  # a look
    family = me.children(recursive=True)
    killed.kill()
    killed.wait()
    wait_until(lambda: alive(family) == [], 10, "no process left")
    wait_until(lambda: not tmp_path.exists(), 10, "no folder left")


def test_what_is_left_of_one_that_ended_by_itself_is_its_own_business(tmp_path: Path) -> None:
    done = subprocess.Popen([sys.executable, "-c", PROGRAM, "2.5", tmp_path])
    me = psutil.Process(done.pid)
    wait_until(lambda: len(me.children(recursive=True)) == 3, 20, "the reaper and two sleepers")
    family = me.children(recursive=True)
    assert done.wait(timeout=20) == 0
    sleepers = alive(family)
    for sleeper in sleepers:
        sleeper.kill()
    assert len(sleepers) == 2 and tmp_path.exists()


ORPHAN = """
import subprocess, sys, time
from pathlib import Path
from tune_sentiment.search.reaper import reaping
sleeper = "import time; time.sleep(120)"
parent = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {sleeper!r}, sys.argv[1]]).pid)"
with reaping(Path(sys.argv[1])):
    time.sleep(1.5)  # just after a look
    subprocess.run([sys.executable, "-c", parent, sys.argv[1] + "/socket"])
    time.sleep(120)
"""


def test_a_process_whose_parent_was_gone_before_it_was_seen_is_ended_too(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ORPHAN, tmp_path], stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        orphan = psutil.Process(int(killed.stdout.readline()))
        assert orphan.is_running()
        killed.kill()
    wait_until(lambda: alive([orphan]) == [], 10, "no orphan left")
