"""A sweep's summary table: one row a run, alone and beside logs of whole curves."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from etastar.law import fit
from etastar.runs import read_runs
from etastar.schedule import InputError, parse_schedule


def write(folder, text, name="sweep.csv"):
    path = folder / name
    path.write_text(text)
    return path


def test_rows_with_specs_become_runs_of_one_point(tmp_path):
    path = write(
        tmp_path,
        "run,schedule,batch_size,final_loss,seed\n"
        'a,"cosine:peak=1e-3,horizon=2000,warmup=100",32,3.1,7\n'
        'b,"wsd:peak=2e-3,horizon=1000,cooldown=0.2",64,3.3,8\n',
    )
    first, second = read_runs(path)
    assert (first.name, second.name) == ("a", "b")
    assert first.schedule == parse_schedule("cosine:peak=1e-3,horizon=2000,warmup=100")
    assert (first.final_step, first.final_loss, first.batch_size) == (2000.0, 3.1, 32.0)
    assert (second.final_step, second.final_loss) == (1000.0, 3.3)
    assert second.metadata["seed"] == "8"


def test_lr_and_steps_fill_in_a_schedule_given_for_all(tmp_path):
    path = write(tmp_path, "lr,steps,final_val_loss\n1e-3,500,3.4\n2e-3,900,3.2\n")
    runs = read_runs(path, schedule="cosine:warmup=50")
    assert [run.schedule.spec for run in runs] == [
        "cosine:peak=0.001,horizon=500,warmup=50",
        "cosine:peak=0.002,horizon=900,warmup=50",
    ]
    assert [run.name for run in runs] == ["sweep row 1", "sweep row 2"]


def test_a_row_without_a_loss_is_left_out_and_said(tmp_path):
    spec = "constant:peak=1e-3,horizon=100"
    path = write(tmp_path, f'schedule,final_loss\n"{spec}",3.0\n"{spec}",nan\n"{spec}",\n')
    (run,) = read_runs(path)
    assert [caveat.split(": ")[0] for caveat in run.caveats] == [f"{path}:3", f"{path}:4"]


def test_a_row_gives_way_to_the_log_of_its_run(tmp_path):
    steps = np.arange(0, 1001, 100)
    frame = pl.DataFrame({"step": steps, "lr": np.full(11, 1e-3), "loss": 3 + 1 / (1 + steps)})
    frame.write_csv(tmp_path / "a.csv")
    write(
        tmp_path,
        "run,schedule,final_loss\n"
        'a,"constant:peak=1e-3,horizon=1000",3.001\n'
        'b,"constant:peak=2e-3,horizon=1000",3.002\n',
    )
    assert {run.name: len(run.step) for run in read_runs(tmp_path)} == {"a": 11, "b": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr,steps,final_loss\n1e-3,500,3.4\n", "2: its schedule is unknown; add a schedule"),
        ("schedule,final_loss\ncosine:peak=1,3\n", "2: 3 fields|2: cosine needs horizon"),
        ('schedule,final_loss\n"warm:peak=1,horizon=9",3\n', "2: .*warm"),
        ('schedule,final_loss\n"constant:peak=1,horizon=9",-3\n', "2: final loss is -3"),
        ('schedule,final_loss\n"constant:peak=1,horizon=9",x\n', "2: final loss is 'x', not"),
        ('schedule,steps,final_loss\n"constant:peak=1",9.5,3\n', "2: .*horizon"),
        ('run,schedule,final_loss\na,"constant:peak=1,horizon=9",\n', "no row has a final loss"),
        (
            'run,schedule,final_loss\na,"constant:peak=1,horizon=9",3\n'
            'a,"constant:peak=2,horizon=9",3\n',
            "3: run a is in the table before",
        ),
    ],
)
def test_rows_that_cannot_be_read_are_named(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_runs(write(tmp_path, text))


def test_a_law_is_fitted_to_a_sweep_alone(tmp_path):
    # Final losses of a known law, L = 2 + (sum of LRs)^-0.5 + 20 x final mean LR, one row a run.
    rows = ["schedule,final_loss"]
    for peak in (0.01, 0.02, 0.04):
        for horizon in (500, 1000, 2000, 4000):
            rows.append(f'"constant:peak={peak},horizon={horizon}",')
            rows[-1] += f"{2 + (peak * horizon) ** -0.5 + 5 * peak}"
    law = fit(read_runs(write(tmp_path, "\n".join(rows) + "\n")))
    wanted = parse_schedule("constant:peak=0.02,horizon=3000")
    mean, low, high = law.predict(wanted).final
    truth = 2 + 60**-0.5 + 0.1
    assert mean == pytest.approx(truth, rel=5e-3)
    assert low <= truth <= high
