"""sbatch, squeue, sacct and scancel of a cluster that is this machine, as far as pilots use them.

Each command is a link to a shell script that calls this file with the command's name. The cluster
is the folder FAKE_SLURM: `jobs/NUMBER/` holds the script, the state and the name of each job. Files
beside it change what happens: `hold` (no job leaves the queue), `down` (no command answers),
`forgets` (squeue does not know jobs that are over), `no accounting` (sacct knows nothing), `busy`
(the next sbatch is to be tried again later).
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = ("sbatch", "squeue", "sacct", "scancel", "srun")
OVER = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL")
MARK = "FAKE_SLURM_JOB"


def install(folder: Path) -> dict[str, str]:
    """Make a cluster; the variables under which its commands are found."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    (folder / "jobs").mkdir()
    for name in COMMANDS:
        line = shlex.join([sys.executable, "-S", "-E", str(Path(__file__).resolve()), name])
        (programs / name).write_text(f'#!/bin/sh\nexec {line} "$@"\n')
        (programs / name).chmod(0o755)
    return {"PATH": f"{programs}:{os.environ['PATH']}", "FAKE_SLURM": str(folder)}


class Jobs:
    """The jobs of the cluster in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def numbers(self) -> list[str]:
        return sorted((path.name for path in (self.folder / "jobs").iterdir()), key=int)

    def read(self, number: str, what: str = "state") -> str:
        return (self.folder / "jobs" / number / what).read_text()

    def write(self, number: str, text: str, what: str = "state") -> None:
        path = self.folder / "jobs" / number / what
        path.with_suffix(".new").write_text(text)
        os.replace(path.with_suffix(".new"), path)

    def named(self, name: str) -> list[str]:
        """The numbers of the jobs that run a pilot."""
        return [each for each in self.numbers() if self.read(each, "name") == f"pilot-{name}"]

    def processes(self, number: str) -> list[int]:
        wanted, found = f"{MARK}={number}\0".encode(), []
        place = f"FAKE_SLURM={self.folder}\0".encode()
        for name in filter(str.isdecimal, os.listdir("/proc")):
            try:
                said = Path(f"/proc/{name}/environ").read_bytes() + b"\0"
            except OSError:
                continue
            if wanted in said and place in said:
                found.append(int(name))
        return found

    def end(self, number: str, state: str) -> None:
        """End a job as Slurm does: a polite signal, then a hard one."""
        self.write(number, state)
        for sent, patience in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0)):
            for process in self.processes(number):
                try:
                    os.kill(process, sent)
                except ProcessLookupError:
                    continue
            deadline = time.monotonic() + patience
            while self.processes(number) and time.monotonic() < deadline:
                time.sleep(0.02)

    def send_back(self, number: str) -> None:
        """End what runs of a job, and put it into the queue again."""
        self.end(number, "COMPLETING")
        self.write(number, "NODE_FAIL")
        time.sleep(0.5)
        self.begin(number)

    def begin(self, number: str) -> None:
        """Queue a job; a process of its own looks after it."""
        self.write(number, "PENDING")
        subprocess.Popen(
            [sys.executable, "-S", "-E", str(Path(__file__).resolve()), "run", number],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "FAKE_SLURM": str(self.folder)},
        )

    def run(self, number: str) -> None:
        while (self.folder / "hold").exists():
            time.sleep(0.02)
        if self.read(number) != "PENDING":
            return
        self.write(number, "RUNNING")
        options = options_of(self.read(number, "script"))
        with open(options["output"].replace("%j", number), "ab") as output:
            process = subprocess.Popen(
                ["bash", str(self.folder / "jobs" / number / "script")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**os.environ, MARK: number, "SLURM_JOB_ID": number, "SLURM_NTASKS": "1"},
            )
        deadline = time.monotonic() + seconds_of(options.get("time", "1:00:00"))
        while process.poll() is None:
            if time.monotonic() > deadline:
                self.end(number, "TIMEOUT")
            time.sleep(0.02)
        if self.read(number) == "RUNNING":
            self.write(number, "FAILED" if process.returncode else "COMPLETED")


def options_of(script: str) -> dict[str, str]:
    """The lines of a script that begin with #SBATCH."""
    words = (shlex.split(line)[1] for line in script.splitlines() if line.startswith("#SBATCH"))
    return {key.removeprefix("--"): value for key, _, value in (w.partition("=") for w in words)}


def seconds_of(limit: str) -> float:
    """Seconds of M, M:S or H:M:S."""
    parts = [float(part) for part in limit.split(":")]
    if len(parts) == 1:
        parts.append(0.0)
    return sum(part * unit for part, unit in zip(reversed(parts), (1, 60, 3600), strict=False))


def sbatch(jobs: Jobs, words: list[str]) -> None:
    script = Path(words[-1]).read_text()
    options = options_of(script)
    if (jobs.folder / "busy").exists():
        (jobs.folder / "busy").unlink()
        sys.exit("sbatch: error: Batch job submission failed: Socket timed out on send/recv")
    if options.get("partition") not in (None, "short", "long"):
        print(
            f"sbatch: error: invalid partition specified: {options['partition']}", file=sys.stderr
        )
        sys.exit("sbatch: error: Batch job submission failed: Invalid partition name specified")
    number = 1
    while True:
        try:
            (jobs.folder / "jobs" / str(number)).mkdir()
            break
        except FileExistsError:
            number += 1
    jobs.write(str(number), script, "script")
    jobs.write(str(number), options["job-name"], "name")
    jobs.begin(str(number))
    print(f"Submitted batch job {number}")


def squeue(jobs: Jobs, words: list[str]) -> None:
    asked = next(w for w in words if w.startswith("--jobs=")).partition("=")[2].split(",")
    states = {number: jobs.read(number) for number in asked if number in jobs.numbers()}
    if (jobs.folder / "forgets").exists():
        states = {n: s for n, s in states.items() if s.split(" ")[0] not in OVER}
    if not states and len(asked) == 1:
        sys.exit("slurm_load_jobs error: Invalid job id specified")
    for number, state in states.items():
        print(number, state)


def sacct(jobs: Jobs, words: list[str]) -> None:
    if (jobs.folder / "no accounting").exists():
        sys.exit("Slurm accounting storage is disabled")
    print("JobID|State|NodeList")
    for number in re.findall(r"-j (\d+)", " ".join(words)):
        if number not in jobs.numbers():
            continue
        state = jobs.read(number)
        print(f"{number}|{'CANCELLED by 1000' if state == 'CANCELLED' else state}|here")
        print(f"{number}.batch|{state}|here")


def main(command: str, words: list[str]) -> None:
    jobs = Jobs(Path(os.environ["FAKE_SLURM"]))
    if command == "run":
        jobs.run(words[0])
        return
    if (jobs.folder / "down").exists():
        sys.exit(f"{command}: error: Unable to contact slurm controller (connect failure)")
    if command == "scancel":
        if jobs.read(words[-1]) not in OVER:
            jobs.end(words[-1], "CANCELLED")
        return
    {"sbatch": sbatch, "squeue": squeue, "sacct": sacct}[command](jobs, words)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
