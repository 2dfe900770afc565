"""Pilots on a Ray cluster of this machine: two nodes, one of which is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from etastar.runs import read_runs
from etastar.schedule import InputError

# Ray takes this machine's address on the network for 127.0.0.1 unless it is told of no cluster.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
pytest.importorskip("ray", reason="Ray is not installed: pip install 'etastar[ray]'")

# A process of its own, as Ray starts its nodes by a fork, which a process with jax must not do.
CLUSTER = """
import sys
from ray.cluster_utils import Cluster
node = dict(num_cpus=2, include_dashboard=False, node_ip_address="127.0.0.1",
            object_store_memory=80 * 2**20)
cluster = Cluster(initialize_head=True, head_node_args=node)
second = cluster.add_node(**node)
print("address", cluster.address, flush=True)
for line in sys.stdin:
    cluster.remove_node(second, allow_graceful=False)
cluster.shutdown()
"""


class TwoNodes:
    """A head and a second node, two CPUs each; trainings in it take about two seconds."""

    def __init__(self) -> None:
        more = {"RAY_USAGE_STATS_ENABLED": "0", "ROW_SECONDS": "0.07", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLUSTER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **more},
            text=True,
        )
        assert self.process.stdout is not None
        lines = (line.split() for line in self.process.stdout)
        self.address = next(words[1] for words in lines if words[:1] == ["address"])

    def kill_the_second(self) -> None:
        assert self.process.stdin is not None
        print("kill", file=self.process.stdin, flush=True)


@pytest.fixture(scope="module")
def cluster():
    made = TwoNodes()
    yield made
    made.process.communicate(timeout=30)


def test_eight_pilots_complete_though_a_node_is_killed(bench, cluster):
    pilots = [bench.pilot(f"run{i}", seed=i) for i in range(8)]
    for pilot in pilots:
        bench.fault(pilot.name, "wait")  # no run ends on the second node before it is killed

    def kill_when_both_nodes_work():
        bench.wait_for(lambda: len(bench.told("start")) >= 4, 60)
        cluster.kill_the_second()
        bench.wait_for(lambda: sum(map(bench.is_alive, bench.pids())) <= 2, 60)
        (bench.folder / "go").touch()

    killer = threading.Thread(target=kill_when_both_nodes_work)
    killer.start()
    swept, said = bench.sweep(pilots, ray=cluster.address)
    killer.join()
    starts, ends = bench.told("start"), bench.told("end")
    assert len(starts) > 8, "the node that was killed had no run"
    assert sorted(ends) == [pilot.name for pilot in pilots]  # each to its end once
    assert [ended.run is not None for ended in swept.finished] == [True] * 8, said
    assert {run.name: run.final_step for run in read_runs(bench.out)} == {
        pilot.name: 200 for pilot in pilots
    }
    assert not any(bench.is_alive(pid) for pid in bench.pids())
    again, _ = bench.sweep(pilots, ray=cluster.address)
    assert len(again.finished) == 8
    assert bench.told("start") == starts


def test_runs_keep_their_files_at_a_url_and_branch_from_there(bench, cluster, monkeypatch):
    """As on nodes that share no disk: each run works in a folder of its node."""
    from etastar.pilot import _ray_workers

    monkeypatch.setattr(_ray_workers, "SYNC", 0.5)
    trunk = bench.pilot("trunk", "constant:peak=0.1,horizon=100")
    rest = {"parent": "trunk", "branch_step": 100}
    branch = bench.pilot("branch", "wsd:peak=0.1,horizon=160,cooldown=60", **rest)
    bench.fault("branch", "exit")
    bench.fault("bad", "nan")
    swept, said = bench.sweep(
        [trunk, branch, bench.pilot("bad")],
        train=[*bench.command, "{resume}", "{checkpoints}"],
        ray=cluster.address,
        results=f"file://{bench.folder}/results",
    )
    assert "end branch from 100" in (bench.folder / "told").read_text()
    assert any("RuntimeError: the engine is on fire" in line for line in said)
    assert {ended.pilot.name: ended.diverged for ended in swept.finished} == {
        "trunk": False,
        "branch": False,
        "bad": True,
    }
    assert (bench.folder / "results" / "trunk" / "log_step_100.pt").read_text() == "100"
    assert (bench.folder / "results" / "branch" / "log.csv").exists()
    assert {run.name for run in read_runs(bench.out)} == {"trunk", "branch", "bad"}


def test_a_cluster_that_is_not_there_is_one_clear_error(bench):
    with pytest.raises(InputError, match=r"--ray 127\.0\.0\.1:1: nothing answers there"):
        bench.sweep([bench.pilot("a")], ray="127.0.0.1:1")
