"""The recipes of docs/guides/cluster.md, as far as they can be tested without a cluster."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from etastar.cli import main

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/guides/cluster.md").read_text(encoding="utf-8")
FILES = ("examples/pilots_sky.yaml", "examples/pilots_kuberay.yaml")


def text_of(file: str) -> str:
    """A file without the comment at its head."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(lines[next(i for i, line in enumerate(lines) if line[0] != "#") :])


def document(file: str) -> Any:
    return yaml.safe_load(text_of(file))


def pilot_command(text: str) -> list[str]:
    """The words of the `etastar pilot` in a text, up to the end of its line."""
    text = text.replace("\\\n", " ")
    (line,) = re.findall(r"^\s*(etastar pilot .*)$", text, re.MULTILINE)
    return shlex.split(line)[1:]


def option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


@pytest.mark.parametrize(("file", "block"), [(FILES[0], 0), (FILES[1], 1)])
def test_the_guide_shows_the_files(file, block):
    shown = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    assert len(shown) == 2
    assert shown[block] == text_of(file)
    assert f"`{file}`" in GUIDE


def test_the_sky_file_is_a_task_whose_scripts_the_shell_takes():
    task = document(FILES[0])
    assert set(task) <= {
        *("name", "num_nodes", "resources", "workdir", "file_mounts", "setup", "run"),
    }
    for key in ("setup", "run"):
        checked = subprocess.run(["bash", "-n"], input=task[key], text=True, capture_output=True)
        assert (checked.returncode, checked.stderr) == (0, "")
    (waiting,) = re.findall(r"<<'WAIT'\n(.*?)\nWAIT$", task["run"], re.DOTALL | re.MULTILINE)
    compile(waiting, "run", "exec")
    words = pilot_command(task["run"])
    assert option(words, "--results").removeprefix("file://").startswith("/results/")
    assert "/results" in task["file_mounts"]
    assert float(option(words, "--cpus")) <= float(task["resources"]["cpus"].rstrip("+"))
    assert option(words, "--gpus") == task["resources"]["accelerators"].rpartition(":")[2]


def test_the_kubernetes_file_reserves_what_a_run_asks_for():
    job = document(FILES[1])
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    words, cluster = pilot_command(job["spec"]["entrypoint"]), job["spec"]["rayClusterSpec"]
    head = cluster["headGroupSpec"]
    (workers,) = cluster["workerGroupSpecs"]
    for group in (head, workers):
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
        assert {volume["name"] for volume in pod["volumes"]} == set(mounts)
        assert option(words, "--out").startswith(mounts["shared"] + "/")
    (container,) = workers["template"]["spec"]["containers"]
    limits = container["resources"]["limits"]
    assert (limits["cpu"], limits["nvidia.com/gpu"]) == (
        option(words, "--cpus"),
        option(words, "--gpus"),
    )
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert all(isinstance(value, str) for value in head["rayStartParams"].values())


def commands() -> list[tuple[str, list[str]]]:
    (slurm,) = re.findall(r"```sh\n(pip install 'etastar\[slurm\]'\n.*?)```", GUIDE, re.DOTALL)
    return [
        ("slurm", pilot_command(slurm)),
        ("sky", pilot_command(document(FILES[0])["run"])),
        ("kuberay", pilot_command(document(FILES[1])["spec"]["entrypoint"])),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("words", [pytest.param(words, id=name) for name, words in commands()])
def test_each_command_designs_its_pilots(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main([words[0], "--dry-run", "--json", *words[1:]])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["pilots"]
