"""What the page does with uploads and with what is entered."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

import etastar.planning
from etastar.app._work import Columns, Wanted, kept, planned, read_path, read_uploads
from etastar.schedule import InputError


@dataclass
class Upload:
    name: str
    content: bytes

    def getvalue(self) -> bytes:
        return self.content


def uploads(folder: Path, below: str = "") -> list[Upload]:
    return [Upload(f"{below}{path.name}", path.read_bytes()) for path in sorted(folder.iterdir())]


@pytest.mark.parametrize("name", ["../a.csv", "/etc/a.csv", "a/../../b.csv", "..\\a.csv", "."])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="no name of a file"):
        kept([Upload(name, b"")], tmp_path / "inside")
    assert [*tmp_path.iterdir()] == []


def test_two_files_of_one_name_are_refused(tmp_path):
    with pytest.raises(InputError, match="given twice"):
        kept([Upload("a.csv", b"1"), Upload("a.csv", b"2")], tmp_path)


@pytest.mark.parametrize("below", ["", "pilots/"])
def test_uploads_are_read_as_the_folder_is(logs, below):
    wanted = read_path(str(logs), Columns())
    found = read_uploads(uploads(logs, below), Columns())
    assert {run.name for run in found.runs} == {run.name for run in wanted.runs}
    assert {run.schedule for run in found.runs} == {run.schedule for run in wanted.runs}
    assert found.remarks == wanted.remarks
    assert {each.sha256 for each in found.made.inputs} == {
        each.sha256 for each in wanted.made.inputs
    }
    assert {each.name for each in found.made.inputs} == {
        f"{below}{path.name}" for path in logs.iterdir()
    }
    assert found.names == (("pilots",) if below else tuple(sorted(p.name for p in logs.iterdir())))
    assert not any("/tmp" in str(run.metadata) for run in found.runs)


def test_an_error_names_the_file_as_it_was_uploaded():
    with pytest.raises(InputError, match=r"^bad\.csv"):
        read_uploads([Upload("bad.csv", b"step,lr,loss\n1,0.1,x\n2,0.1,3\n")], Columns())


def test_columns_that_are_named_are_read_and_errors_name_the_option(logs):
    text = b"count,rate,nll\n0,0.1,4\n50,0.1,3\n100,0.1,2.5\n"
    with pytest.raises(InputError, match="--step"):
        read_uploads([Upload("a.csv", text)], Columns())
    columns = Columns(step="count", loss="nll", lr="rate", batch="8", sequence_length="1k")
    (run,) = read_uploads([Upload("a.csv", text)], columns).runs
    assert (run.final_loss, run.batch_size, run.sequence_length) == (2.5, 8.0, 1000.0)
    with pytest.raises(InputError, match="--runs-batch 'x' must be a number"):
        read_uploads([Upload("a.csv", text)], Columns(batch="x"))


def test_a_plan_has_its_files_and_the_command_that_makes_the_same(monkeypatch, plan_of, logs):
    asked = []

    def fake(runs, horizon, **options):
        options["progress"]("choosing the schedule", 1, 1)
        asked.append((horizon, options))
        return plan_of()

    stages = {"fitting": 3.0, "choosing the schedule": 1.0}
    monkeypatch.setattr(etastar.planning, "plan", fake)
    monkeypatch.setattr(etastar.planning, "STAGES", stages)
    read = read_path(str(logs), Columns(loss="loss"))
    told = []
    result = planned(
        read, Wanted("8k", "samples", "16,64", "power"), lambda part, stage: told.append(part)
    )
    assert told == [1.0, 1.0]
    horizon, options = asked[0]
    assert (horizon, options["unit"], options["batch_size"]) == (8000.0, "samples", (16.0, 64.0))
    assert result.command == (
        f"etastar plan {logs} --horizon 8k --batch 16,64 --unit samples --law power --loss loss"
        " --out plan"
    )
    document = json.loads(result.files["plan.json"])
    assert len(document["provenance"]["inputs"]) == 4
    assert document["provenance"]["command"] == result.command.removesuffix(" --out plan")
    assert b"</html>" in result.files["report.html"]
    assert json.loads(result.files["schedule.json"])["horizon"] == 8000


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted(""), "horizon is missing"),
        (Wanted("many"), "horizon 'many' is not a number"),
        (Wanted("1k", batch="x"), "batch size 'x'"),
        (Wanted("1k", batch="1,2,3"), "the lowest and the highest"),
        (Wanted("0"), "horizon"),
    ],
)
def test_what_is_no_run_is_refused(logs, wanted, said):
    with pytest.raises(InputError, match=said):
        planned(read_path(str(logs), Columns()), wanted, lambda part, stage: None)
