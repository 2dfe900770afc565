"""Logs as they are left lying about: comments, other separators, spikes, gaps, foreign files."""

from __future__ import annotations

import json
import time

import numpy as np
import polars as pl
import pytest

from etastar._errors import at_command_line
from etastar.runs import Run, check_together, log_status, read_runs
from etastar.runs._sources import find_logs
from etastar.schedule import InputError, parse_schedule
from tests.helpers.work import executed_lines

CONSTANT = "constant:peak=1e-3,horizon=1000"
ROWS = [(s, 1e-3 * (1 - s / 1000), 3 - s / 1000) for s in range(0, 1001, 100)]


def read(tmp_path, text: str, name: str = "a.csv", **keys) -> Run:
    (tmp_path / name).write_text(text, encoding="utf-8")
    (run,) = read_runs(tmp_path / name, **keys)
    return run


def joined(separator: str, header: str = "step lr loss", style: str = "{:.6f}") -> str:
    lines = [header.replace(" ", separator)]
    lines += [separator.join((str(s), style.format(r), f"{v:.4f}")) for s, r, v in ROWS]
    return "\n".join(lines) + "\n"


def assert_whole(run: Run) -> None:
    np.testing.assert_array_equal(run.step, [s for s, _, _ in ROWS])
    np.testing.assert_allclose(run.loss, [v for _, _, v in ROWS])
    np.testing.assert_allclose(run.schedule(np.array([0, 550, 1000])), [1e-3, 4.5e-4, 0], atol=1e-9)


@pytest.mark.parametrize("name", ["a.csv", "log.txt", "train.log"])
@pytest.mark.parametrize("separator", [",", "\t", ";", " ", "   ", " \t "])
def test_every_separator(tmp_path, separator, name):
    assert_whole(read(tmp_path, joined(separator), name))


@pytest.mark.parametrize(
    "text",
    [
        '# commit 1f, it\'s "mine"\n#lr in units of base\n' + joined(","),
        joined(",").replace("\n500,", "\n# paused\n500,"),
        joined(",") + "# done\n",
        '"step","lr","loss"\n'
        + joined(",").split("\n", 1)[1].replace("\n300,", '\n# said "go on"\n"300",'),
        "# " + joined(" "),
        "#" + joined(","),
        joined(" ").replace("step", "  step").replace("\n", "\n   "),
    ],
)
def test_comments_and_headers_in_comments(tmp_path, text):
    assert_whole(read(tmp_path, text))


def test_a_printed_frame_has_an_index_without_a_name(tmp_path):
    lines = joined(" ").splitlines()
    text = "\n".join([lines[0], *(f"{i}  {line}" for i, line in enumerate(lines[1:]))])
    assert_whole(read(tmp_path, text + "\n"))


def test_comments_alone_are_no_log(tmp_path):
    with pytest.raises(InputError, match=r"a.csv: comments and no rows"):
        read(tmp_path, "# step,loss\n# 0,3\n")


def test_lines_of_messages_count_comments(tmp_path):
    with pytest.raises(InputError, match=r"a.csv:4: loss is 'x'"):
        read(tmp_path, "# one\nstep,loss\n0,3\n10,x\n20,2\n", schedule=CONSTANT)


@pytest.mark.parametrize("separator", [",", " "])
def test_a_header_written_again_is_a_resumed_run(tmp_path, separator):
    lines = joined(separator).splitlines()
    text = "\n".join([*lines[:8], lines[0], *lines[5:]]) + "\n"
    run = read(tmp_path, text)
    assert_whole(run)
    (caveat,) = run.caveats
    assert "a.csv:10: steps go back to 400" in caveat


def test_a_header_written_again_may_have_other_columns(tmp_path):
    text = "step,loss\n0,3\n100,2\n200,1.9\nstep,accuracy,loss\n100,0.5,2.1\n200,0.6,1.8\n"
    run = read(tmp_path, text, schedule=CONSTANT)
    np.testing.assert_allclose(run.loss, [3, 2.1, 1.8])


def test_a_run_called_run_is_no_header(tmp_path):
    text = "run,step,loss\nrun,0,3\nrun,100,2\n"
    assert len(read(tmp_path, text, schedule=CONSTANT).step) == 2


@pytest.mark.parametrize(
    "style", ["[{:.6f}]", "[{0:.6f}, {0:.6f}]", "tensor({:.6f}, device='cuda:0')", "np.float64({})"]
)
def test_rates_as_python_prints_them(tmp_path, style):
    run = read(tmp_path, joined(",", style=style))
    assert_whole(run)
    assert run.caveats == ()


@pytest.mark.parametrize(
    "rate", [lambda r: [r], lambda r: [r, r], lambda r: r if r < 5e-4 else [r]]
)
def test_rates_in_lists_of_json(tmp_path, rate):
    rows = [json.dumps({"step": s, "lr": rate(r), "loss": [v]}) for s, r, v in ROWS]
    # A surrogate and a NaN send the reader through each line.
    for extra in ("", '{"step": 1000, "note": "\\ud83d", "loss": NaN}\n'):
        assert_whole(read(tmp_path, "\n".join(rows) + "\n" + extra, "a.jsonl"))


def test_of_groups_with_different_rates_the_first_is_taken(tmp_path):
    rows = [json.dumps({"step": s, "lr": [r, r / 10], "loss": v}) for s, r, v in ROWS]
    run = read(tmp_path, "\n".join(rows) + "\n", "a.jsonl")
    assert_whole(run)
    assert "lr holds up to 2 values a row; the first is taken" in run.caveats[0]


def test_a_list_of_rates_does_no_harm_where_the_schedule_is_declared(tmp_path):
    rows = [json.dumps({"step": s, "lr": [r], "loss": v}) for s, r, v in ROWS]
    spec = "linear:peak=1e-3,horizon=1000"
    run = read(tmp_path, "\n".join(rows) + "\n", "a.jsonl", schedule=spec)
    assert (run.schedule, run.caveats) == (parse_schedule(spec), ())


def curve(*steps: int) -> str:
    return "step,loss\n" + "".join(f"{s},{4 - s / 1000}\n" for s in steps)


@pytest.mark.parametrize(
    "steps",
    [
        (100, 300, 200, 400, 600, 500, 700, 900, 800, 1000),
        (100, 400, 200, 300, 500, 600),
        (100, 200, 0, 300, 400),
    ],
)
def test_late_rows_are_sorted(tmp_path, steps):
    run = read(tmp_path, curve(*steps), schedule=CONSTANT)
    np.testing.assert_array_equal(run.step, sorted(steps))
    np.testing.assert_allclose(run.loss, [4 - s / 1000 for s in sorted(steps)])
    assert "rows are sorted" in run.caveats[0]


@pytest.mark.parametrize(
    ("steps", "left"),
    [
        ((0, 100, 200, 300, 200, 300, 400), [0, 100, 200, 300, 400]),
        ((0, 100, 200, 300, 150, 250, 350), [0, 100, 150, 250, 350]),
        ((0, 100, 200, 300, 250, 350, 450), [0, 100, 200, 250, 350, 450]),
        ((100, 200, 300, 50, 150, 250, 350), [50, 150, 250, 350]),
    ],
)
def test_a_resumed_run_is_not_sorted(tmp_path, steps, left):
    run = read(tmp_path, curve(*steps), schedule=CONSTANT)
    np.testing.assert_array_equal(run.step, left)
    assert "left out" in run.caveats[0]


def losses(tmp_path, *values: object) -> Run:
    return read(
        tmp_path,
        "step,loss\n" + "".join(f"{10 * i},{value}\n" for i, value in enumerate(values)),
        schedule=CONSTANT,
    )


def test_a_spike_of_several_rows_that_is_undone_is_no_divergence(tmp_path):
    run = losses(tmp_path, 3, 2, 1, 40, 80, 20, 1.5, 1.02, 0.9)
    assert not run.diverged
    assert len(run.loss) == 9
    assert losses(tmp_path, 3, 2, 1, 40, 80, 20, 2.9, 2.5, 2.4).diverged
    assert losses(tmp_path, 3, 2, 1, "inf", "inf", 0.9, 40).diverged


def test_a_loss_that_is_not_measured_at_most_rows_is_no_divergence(tmp_path):
    sparse = [value for v in (3, 2.5, 2, 1.8) for value in (v, "nan", "nan", "nan")]
    run = losses(tmp_path, *sparse)
    assert not run.diverged
    np.testing.assert_array_equal(run.loss, [3, 2.5, 2, 1.8])
    assert losses(tmp_path, *sparse, "nan").diverged
    assert not log_status(tmp_path / "a.csv").loss < 1.8
    (tmp_path / "a.csv").write_text("step,loss\n0,3\n1,nan\n2,2\n3,nan\n4,1\n5,nan\n")
    assert log_status(tmp_path / "a.csv").hopeless is False


def test_a_row_of_another_column_does_not_take_the_place_of_a_loss(tmp_path):
    rows = [
        json.dumps({"step": s, **dict(zip(("val_loss", "train_loss"), pair, strict=True))})
        for s, _, v in ROWS
        for pair in ((v, float("nan")), (float("nan"), v + 1))
    ]
    run = read(tmp_path, "\n".join(rows) + "\n", "a.jsonl", schedule=CONSTANT)
    np.testing.assert_allclose(run.loss, [v for _, _, v in ROWS])
    assert run.caveats == ()
    assert log_status(tmp_path / "a.jsonl").loss == ROWS[-1][2]


def test_a_column_of_nan_gives_way_to_one_with_losses(tmp_path):
    rows = [
        json.dumps({"step": s, "val_loss": 2.0 if s == 500 else float("nan"), "train_loss": v})
        for s, _, v in ROWS
    ]
    run = read(tmp_path, "\n".join(rows) + "\n", "a.jsonl", schedule=CONSTANT)
    assert run.metadata["loss_column"] == "train_loss"


@pytest.mark.parametrize("gradient", ["grad_norm", "train/grad_norm", None])
def test_a_loss_of_zero_from_some_row_on_is_a_collapse(tmp_path, gradient):
    history = [
        {"step": s, "loss": v if s < 600 else 0.0, "learning_rate": r} for s, r, v in ROWS[:-1]
    ]
    for row in history:
        row |= {gradient: 1.0 if row["loss"] else float("nan")} if gradient else {}
    for name, last in (("bad", history), ("good", history[:6])):
        folder = tmp_path / name
        folder.mkdir()
        state = json.dumps({"max_steps": 1000, "log_history": last})
        (folder / "trainer_state.json").write_text(state)
    bad, good = read_runs(tmp_path)
    assert (bad.diverged, good.diverged) == (True, False)
    assert len(bad.loss) == len(good.loss) == 6
    assert any("loss is 0 from step 600 on" in caveat for caveat in bad.caveats)


def test_a_single_zero_is_still_an_error(tmp_path):
    with pytest.raises(InputError, match=r"a.csv:4: loss is 0; losses must be positive"):
        losses(tmp_path, 3, 2, 0, 1)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("notes.csv", "who,when\nme,today\n"),
        ("results.csv", "epoch,train/box_loss\n1,3\n2,2\n"),
        ("broken.jsonl", '{"step": 0\n{"step": 1}\n'),
        ("empty.csv", ""),
        ("table.parquet", "no parquet"),
    ],
)
def test_a_foreign_file_does_not_refuse_its_folder(tmp_path, name, text):
    (tmp_path / "run.csv").write_text(joined(","))
    (tmp_path / name).write_text(text)
    for source in (tmp_path, str(tmp_path / "*.*")):
        (run,) = read_runs(source)
        assert_whole(run)
        assert f"{tmp_path / name}" in run.caveats[0]
        assert run.caveats[0].endswith("the file is left out")
    with pytest.raises(InputError, match=name):
        read_runs([tmp_path / "run.csv", tmp_path / name])


def test_messages_name_options_as_the_reader_gives_them(tmp_path):
    with pytest.raises(InputError, match=r"name it with loss="):
        read(tmp_path, "step,bits\n0,3\n1,2\n")
    with at_command_line(), pytest.raises(InputError, match=r"name it with --loss"):
        read(tmp_path, "step,bits\n0,3\n1,2\n")
    with at_command_line(), pytest.raises(InputError, match=r"give --runs-schedule SPEC"):
        read(tmp_path, "step,loss\n0,3\n1,2\n")


def test_messages_suggest_the_nearest_columns(tmp_path):
    text = "step,accuracy,val_los,valid_loss_ema,x\n0,1,3,3,1\n1,1,2,2,1\n"
    with pytest.raises(InputError, match=r"nearest: val_los, valid_loss_ema; name it"):
        read(tmp_path, text)
    with pytest.raises(InputError, match=r"no column 'val_lss' .*; nearest: val_los"):
        read(tmp_path, text, loss="val_lss")


def test_a_table_of_too_many_columns_is_refused_at_once(tmp_path):
    text = ",".join(map(str, range(100_000))) + "\n" + "1," * 99_999 + "1\n"
    start = time.process_time()
    with pytest.raises(InputError, match="100000 columns, where a log has fewer"):
        read(tmp_path, text)
    assert time.process_time() - start < 5


HUGE = "1" + "0" * 400


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("runs.csv", f"run,batch_size\na,{HUGE}\n", r"runs.csv:2: batch size is '1000"),
        ("runs.csv", f"run,horizon\na,{HUGE}\n", r"runs.csv:2: horizon is '1000"),
        ("runs.csv", f"run,momentum\na,{HUGE}\n", r"runs.csv:2: momentum is '1000"),
        ("a.jsonl", f'{{"etastar_run": 1, "batch_size": {HUGE}}}\n', r"a.jsonl:1: batch size is"),
        ("a.jsonl", f'{{"etastar_run": 1, "from_step": {HUGE}}}\n', r"a.jsonl:1: from_step is"),
        ("a.jsonl", f'{{"etastar_run": {HUGE}}}\n', r"a.jsonl:1: etastar_run is"),
    ],
)
def test_numbers_beyond_all_bounds_are_refused_with_their_line(tmp_path, name, text, message):
    (tmp_path / "a.csv").write_text(curve(0, 100, 200))
    rows = '{"step": 0, "loss": 3}\n{"step": 1, "loss": 2}\n' if name == "a.jsonl" else ""
    (tmp_path / name).write_text(text + rows)
    with pytest.raises(InputError, match=message) as caught:
        read_runs(tmp_path if name == "runs.csv" else tmp_path / name, schedule=CONSTANT)
    assert len(str(caught.value)) < 300 + len(str(tmp_path))


@pytest.mark.parametrize("name", ["x" * 300, "/", "a\0b", "..", "."])
def test_names_of_runs_that_are_no_file_are_runs_without_a_log(tmp_path, name):
    (tmp_path / "a.csv").write_text(curve(0, 100, 200))
    table = pl.DataFrame({"run": ["a", name], "schedule": [CONSTANT, CONSTANT]})
    table.write_csv(tmp_path / "runs.csv")
    if "\0" in name:
        with pytest.raises(InputError, match=r"runs.csv: binary data"):
            read_runs(tmp_path)
        return
    (run,) = read_runs(tmp_path)
    assert "no log for run" in run.caveats[0]


def test_many_runs_are_found_with_work_in_proportion(tmp_path):
    def work(count: int) -> int:
        folder = tmp_path / str(count)
        folder.mkdir()
        for i in range(count):
            (folder / f"run{i}.csv").write_text(curve(0, 100))
        rows = "".join(f'run{i},"{CONSTANT}"\n' for i in range(count))
        (folder / "runs.csv").write_text(f"run,schedule\n{rows}")
        found = []
        lines = executed_lines(lambda: found.extend(find_logs(folder)))
        assert len(found) == count
        assert all(source.declaration for source in found)
        return lines

    work(10)
    # In proportion it is a factor of 5; where each run looks at every row, one of 20 and more.
    assert work(500) < 6 * work(100)


STEPS = np.arange(50.0, 2001, 50)
PEAKS = (1e-3, 2e-3, 4e-3)


def runs_of(loss) -> list[Run]:
    return [
        Run(f"r{i}", STEPS, loss(i), parse_schedule(f"cosine:peak={peak},horizon=2000"))
        for i, peak in enumerate(PEAKS)
    ]


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        (lambda i, noise: 3.0 + i + 0 * STEPS, "the loss has one value throughout in r0, r1, r2"),
        (lambda i, noise: 0.4 + STEPS / (5000 + i), "the loss rises throughout in r0, r1, r2"),
        (lambda i, noise: 2 + 5 * STEPS**-0.3 + noise, "losses do not depend on the LR"),
    ],
)
def test_losses_that_are_probably_none_are_named(loss, says):
    random = np.random.default_rng(0)
    runs = runs_of(lambda i: loss(i, 3e-3 * random.standard_normal(len(STEPS))))
    assert any(says in caveat for caveat in check_together(runs))


def test_losses_that_depend_on_the_rate_are_none_of_these():
    random = np.random.default_rng(0)
    runs = runs_of(
        lambda i: 2 + 5 * STEPS**-0.3 + 5 * PEAKS[i] + 3e-3 * random.standard_normal(len(STEPS))
    )
    assert check_together(runs) == []


def test_final_losses_that_are_all_the_same_are_named(tmp_path):
    rows = [f"r{i},{1e-3 * (i + 1)},100,3.5" for i in range(5)]
    (tmp_path / "a.csv").write_text("run,lr,steps,final_loss\n" + "\n".join(rows) + "\n")
    runs = read_runs(tmp_path, schedule="cosine:warmup=5")
    assert any("the final loss is the same in all runs" in line for line in check_together(runs))
