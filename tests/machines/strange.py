"""Run a tiny search for real on machines that are odd in one way each, or in all that go together.

python -m tests.machines.strange [CASE ...]        every case, or those named; exit code 1 if one fails
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.machines.control_groups import groups_can_be_made, limited

ROOT = Path(__file__).resolve().parents[2]

SPACE = """\
search:
  hidden_dim: {type: int, low: 4, high: 8}
  lr: {type: float, low: 0.01, high: 0.1, log: true}
fixed: {embedding_dim: 8, epochs: 2, n_layers: 1, seq_length: 12, report_every: 5}
"""

IN_A_TERMINAL = """\
import os, pty, sys, termios
child, terminal = pty.fork()
if child == 0:
    termios.tcsetwinsize(0, (24, 80))
    os.execvp(sys.argv[1], sys.argv[1:])
while True:
    try:
        shown = os.read(terminal, 65536)
    except OSError:  # how Linux says that nobody is left to write
        break
    if not shown:
        break
    os.write(1, shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

LIMIT_SECONDS = 300
UMASK = 0o027
"""Others may read nothing: what they may read nevertheless was not made with the user's rights."""


@dataclass
class Machine:
    """What a case may change of how a search is run."""

    folder: Path
    """Where data, space and storage are put."""
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    working_folder: Path = ROOT
    wrapper: list[str] = field(default_factory=list)
    """What the command is run by, such as `unshare`."""
    during: ExitStack = field(default_factory=ExitStack)
    """What else goes on meanwhile."""


def read_only_home(machine: Machine) -> None:
    # Root may write to any folder, but not to this one.
    home = Path("/sys") if os.geteuid() == 0 else machine.folder / "home"
    home.mkdir(mode=0o555, exist_ok=True)
    machine.environment["HOME"] = str(home)


def no_home(machine: Machine) -> None:
    machine.environment.pop("HOME", None)


def plain_c_locale(machine: Machine) -> None:
    for name in [name for name in machine.environment if name.startswith(("LC_", "LANG", "PYTHONUTF8"))]:
        del machine.environment[name]
    machine.environment |= {"LANG": "C", "LC_ALL": "C"}


def another_working_folder(machine: Machine) -> None:
    machine.working_folder = machine.folder / "elsewhere"
    machine.working_folder.mkdir(exist_ok=True)


def eighty_columns(machine: Machine) -> None:
    """Run it in a terminal, 80 columns wide; all that it shows comes back as its stdout."""
    machine.environment["TERM"] = "xterm-256color"
    machine.wrapper += [sys.executable, "-c", IN_A_TERMINAL]


def no_terminal(machine: Machine) -> None:
    machine.environment.pop("TERM", None)


def spaces_and_letters_in_paths(machine: Machine) -> None:
    machine.folder = machine.folder / "l'été à Łódź 映画"
    machine.folder.mkdir()


def ports_in_use(machine: Machine) -> None:
    """Take the ports that Ray's dashboard and its figures have by default."""
    for port in (8265, 44217, 44227):
        taken = machine.during.enter_context(socket.socket())
        try:
            taken.bind(("127.0.0.1", port))
            taken.listen()
        except OSError:
            taken.close()  # in use already, which is as good


def another_cluster(machine: Machine) -> None:
    """Start a Ray cluster that has no CPU: a search that joined it would never end."""
    machine.environment["RAY_ADDRESS"] = machine.during.enter_context(_cluster_without_cpus())


@contextmanager
def _cluster_without_cpus() -> Iterator[str]:
    program = (
        "import ray, sys\n"
        "context = ray.init(address='local', num_cpus=0, include_dashboard=False, logging_level='ERROR')\n"
        "print(context.address_info['gcs_address'], flush=True)\n"
        "sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert other.stdout and other.stdin
    try:
        yield other.stdout.readline().decode().strip()
    finally:
        other.stdin.close()
        other.wait(60)


def tiny_shared_memory(machine: Machine) -> None:
    machine.wrapper += ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=4m tmpfs /dev/shm && exec "$@"', "-"]


def a_containers_limits(machine: Machine) -> None:
    """Give it less CPU time and memory than the machine has, as a container's limits do."""
    machine.wrapper += machine.during.enter_context(limited(cpus=1, memory_bytes=2 << 30))


def no_network(machine: Machine) -> None:
    """Leave it the loopback address and nothing else."""
    machine.wrapper += ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "-"]


CASES: dict[str, Callable[[Machine], None]] = {
    "a read-only HOME": read_only_home,
    "no HOME": no_home,
    "LANG=C": plain_c_locale,
    "another working directory": another_working_folder,
    "no terminal": no_terminal,
    "80 columns": eighty_columns,
    "spaces and non-ASCII letters in paths": spaces_and_letters_in_paths,
    "ports in use": ports_in_use,
    "another Ray cluster running": another_cluster,
    "a tiny /dev/shm": tiny_shared_memory,
    "no network": no_network,
    "a container's limits": a_containers_limits,
}
NEEDS_GROUPS = ("a container's limits",)
NEEDS_NAMESPACES = ("a tiny /dev/shm", "no network")


def namespaces() -> bool:
    """Return whether this machine lets us mount and make a network of our own."""
    tools = shutil.which("unshare") and shutil.which("ip") and shutil.which("mount")
    return bool(tools) and subprocess.run(["unshare", "-m", "-n", "true"], capture_output=True).returncode == 0


def impossible(name: str) -> bool:
    """Return whether this machine cannot be made odd in the way of the case `name`."""
    return (name in NEEDS_NAMESPACES and not namespaces()) or (name in NEEDS_GROUPS and not groups_can_be_made())


def run_search(names: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a tiny search where all of the cases `names` hold, and say if it did not leave a bundle and a report."""
    machine = Machine(folder)
    with machine.during:
        for name in names:
            CASES[name](machine)
        data, space, storage = (machine.folder / name for name in ("données", "space.yaml", "storage"))
        data.mkdir()
        for half, word in (("pos", "wonderful"), ("neg", "dreadful")):
            lines = [f"a {word} film seen {number % 7} times\n" for number in range(60)]
            (data / f"avis.{half}").write_text("".join(lines), encoding="utf-8")
        space.write_text(SPACE, encoding="utf-8")
        machine.environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        words = ["--data", str(data), "--space", str(space), "--storage", str(storage), "--name", "strange"]
        effort = ["--trials", "2", "--confirm-top", "1", "--confirm-seeds", "1"]
        done = subprocess.run(
            [*machine.wrapper, sys.executable, "-m", "tune_sentiment", "search", *words, *effort],
            env=machine.environment, cwd=machine.working_folder, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=LIMIT_SECONDS, umask=UMASK,
        )  # fmt: skip
        made = storage / "strange"
        missing = [name for name in ("best/model.safetensors", "report.html") if not (made / name).is_file()]
        if done.returncode == 0 and missing:
            done.returncode, done.stderr = 1, f"{done.stderr}\nnot made: {missing}"
        return done


def main() -> int:
    """Run the cases that the command line names, and print how each went."""
    failed = 0
    for name in sys.argv[1:] or CASES:
        if impossible(name):
            print(f"skipped  {name}: this machine allows no namespaces or control groups")
            continue
        started = time.monotonic()
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            done = run_search([name], Path(folder))
        failed += done.returncode != 0
        print(f"{'failed ' if done.returncode else 'passed '}  {name}  {time.monotonic() - started:.0f} s", flush=True)
        if done.returncode:
            print(done.stdout[-2000:], done.stderr[-3000:], sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
