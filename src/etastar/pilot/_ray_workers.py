"""Pilots as tasks of a Ray cluster."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

from etastar._errors import InputError

from . import _process
from ._config import SweepConfig
from ._job import Job
from ._slurm_job import Attempt
from ._task import train_until_its_end

SYNC = 5.0
"""Seconds between two copies of a running pilot's files to and from the results."""

WAIT_FOR_LOCK = 60.0
"""Seconds to wait until the processes of a task that has died are gone."""

LARGEST_LOG = 64 * 2**20
"""Bytes; a larger file of a run is taken for a checkpoint, and not copied to the driver."""


class RayWorkers:
    """One task a pilot, with its CPUs and GPUs; Ray starts it again where a node dies.

    Without `config.results`, the folder `runs` must be seen from every node. With it, a URL that
    fsspec knows, each task works in a folder of its node and copies it there as it goes; the driver
    copies logs from there to `runs`, and a task begins with what an earlier one of its name left.

    Raises: InputError where Ray is not installed, no cluster answers, or the results cannot be
        written.
    """

    def __init__(self, runs: Path, config: SweepConfig) -> None:
        assert config.ray is not None
        self.runs, self.jobs = runs, config.jobs
        self.cpus, self.gpus = config.cpus, config.gpus
        self.results = None if config.results is None else config.results.rstrip("/")
        if self.results is not None:
            _check_results(self.results)
        self.ray, self.connected_here = _connected(config.ray)
        self.task = self.ray.remote(
            num_cpus=config.cpus,
            num_gpus=config.gpus,
            max_retries=config.retries,
            retry_exceptions=False,
        )(_train)
        self.started: dict[str, Any] = {}
        self.taken: dict[str, str] = {}
        self.copied: dict[str, float] = {}

    def free(self) -> int:
        """What the cluster's resources allow, as it is now: nodes come and go."""
        there = self.ray.cluster_resources()
        fits = [there.get("CPU", 0.0) / self.cpus] if self.cpus else []
        fits += [there.get("GPU", 0.0) / self.gpus] if self.gpus else []
        most = int(min(fits, default=1.0))
        return min(most, self.jobs or most) - len(self.started)

    def start(self, job: Job) -> None:
        folder = self.runs / job.pilot.name
        folder.mkdir(parents=True, exist_ok=True)
        Attempt.forget(folder)
        if not _process.is_held(folder):
            for name in ("exit", "process"):
                (folder / name).unlink(missing_ok=True)
        where = (None, self.results) if self.results else (str(self.runs), None)
        task = self.task.options(name=f"pilot {job.pilot.name}")
        self.started[job.pilot.name] = task.remote(job, *where, os.getcwd())

    def adopt(self, name: str) -> bool:
        """Never: Ray ends the tasks of a driver that has died; this waits until it has."""
        if _process.has_ended(self.runs / name):
            return False
        deadline = time.monotonic() + WAIT_FOR_LOCK
        while _process.is_held(self.runs / name) and time.monotonic() < deadline:
            time.sleep(0.1)
        return False

    def waits(self, name: str) -> bool:
        return not _process.has_begun(self.runs / name)

    def ended(self, name: str) -> bool:
        reference = self.started[name]
        done, _ = self.ray.wait([reference], timeout=0)
        now = time.monotonic()
        if self.results and (done or now > self.copied.get(name, 0.0) + SYNC):
            self.copied[name] = now
            _download(f"{self.results}/{name}", self.runs / name, logs_only=True)
        if not done:
            return False
        try:
            self.ray.get(reference)
        except self.ray.exceptions.TaskCancelledError:
            pass
        except self.ray.exceptions.RayError as error:
            text = str(error).strip().splitlines()
            self.taken[name] = f"{type(error).__name__}: {text[-1] if text else 'no message'}"
        del self.started[name]
        return True

    def taken_by(self, name: str) -> str | None:
        return self.taken.pop(name, None)

    def end(self, names: list[str]) -> None:
        references = [self.started[name] for name in names if name in self.started]
        for force, patience in ((False, 15.0), (True, 15.0)):
            for reference in references:
                self.ray.cancel(reference, force=force)
            if references:
                _, references = self.ray.wait(
                    references, num_returns=len(references), timeout=patience
                )
        for name in names:
            if name in self.started:
                self.ended(name)
            self.started.pop(name, None)
            self.taken.pop(name, None)

    def close(self) -> None:
        if self.connected_here:
            self.ray.shutdown()


def _connected(address: str) -> tuple[Any, bool]:
    """The ray module, connected to a cluster, and whether that was done here and not before.

    `address` is 'auto', 'local' for a cluster of this machine alone, or host:port.

    Raises: InputError where Ray is not installed, or no cluster answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        # Ray puts the machine's address on the network for 127.0.0.1 unless this says otherwise.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        options |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    try:
        import ray
    except ModuleNotFoundError:
        raise InputError("--ray needs Ray: pip install 'etastar[ray]'") from None
    if ray.is_initialized():
        return ray, False
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if host and port.isdecimal():  # Ray itself tries for minutes
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError as error:
        raise InputError(
            f"--ray {address}: nothing answers there ({error.strerror or error}); start a cluster"
            " with ray start --head, or use --ray local"
        ) from None
    try:
        ray.init(address=address, **options)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        raise InputError(
            f"--ray {address}: no Ray cluster answers there ({str(error).splitlines()[0]}); start"
            " one with ray start --head, or use --ray local"
        ) from None
    return ray, True


def _train(job: Job, runs: str | None, results: str | None, cwd: str) -> None:
    """The task: one training, ended when the task is cancelled or its worker dies."""
    if runs is not None:
        _watched(job, Path(runs), None, cwd)
        return
    with tempfile.TemporaryDirectory(prefix="etastar-pilot-") as folder:
        for name in filter(None, (job.pilot.name, job.pilot.parent)):
            _download(f"{results}/{name}", Path(folder) / name)
        _watched(job, Path(folder), results, cwd)


def _watched(job: Job, runs: Path, results: str | None, cwd: str) -> None:
    name = job.pilot.name
    seen: dict[str, tuple[int, int]] = {}
    copied = time.monotonic()

    def copy_now_and_then() -> None:
        nonlocal copied
        if results and time.monotonic() > copied + SYNC:
            _upload(runs / name, f"{results}/{name}", seen)
            copied = time.monotonic()

    try:
        train_until_its_end(job, runs, cwd, wait=WAIT_FOR_LOCK, beat=copy_now_and_then)
    finally:
        if results:
            _upload(runs / name, f"{results}/{name}", seen)


def _filesystem(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError:
        raise InputError("--results needs fsspec: pip install 'etastar[ray]'") from None
    try:
        return url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise InputError(f"--results {url}: {error}") from None


def _check_results(url: str) -> None:
    """Refuse a place for results that cannot be written, before any step is paid for."""
    files, path = _filesystem(url)
    try:
        files.makedirs(path, exist_ok=True)
        with files.open(f"{path}/.writable", "wb") as file:
            file.write(b"etastar")
        files.rm_file(f"{path}/.writable")
    except Exception as error:  # every fsspec file system has errors of its own
        raise InputError(f"--results {url}: cannot be written: {error}") from None


def _upload(folder: Path, url: str, seen: dict[str, tuple[int, int]]) -> None:
    """Copy the files of a folder that have changed since the last call."""
    files, path = _filesystem(url)
    for place, _, names in os.walk(folder):
        for name in names:
            source = Path(place) / name
            try:
                state = source.stat().st_mtime_ns, source.stat().st_size
                relative = source.relative_to(folder).as_posix()
                if seen.get(relative) == state:
                    continue
                files.makedirs(os.path.dirname(f"{path}/{relative}"), exist_ok=True)
                files.put_file(str(source), f"{path}/{relative}")
                seen[relative] = state
            except FileNotFoundError:  # a temporary file that is gone by now
                continue


def _download(url: str, folder: Path, *, logs_only: bool = False) -> None:
    """Copy a folder of the results here; `logs_only` passes over what is no log, and large."""
    files, path = _filesystem(url)
    files.invalidate_cache()
    try:
        found = files.find(path, detail=True)
    except FileNotFoundError:
        return
    for name, info in found.items():
        if logs_only and info.get("size", 0) > LARGEST_LOG:
            continue
        target = folder / os.path.relpath(name, path)
        if logs_only and target.name == _process.OUTPUT and _process.is_held(folder):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.tmp")
        try:
            files.get_file(name, str(temporary))
            os.replace(temporary, target)
        except FileNotFoundError:
            continue
