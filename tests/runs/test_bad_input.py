"""Bad logs: each gives one clear line with its place, or a run with a caveat."""

import json
import random

import numpy as np
import pytest

from etastar.runs import read_runs
from etastar.schedule import InputError

CONSTANT = "constant:peak=1e-3,horizon=1000"
HEADER = "step,loss\n"


def read(tmp_path, text, name="a.csv", **keys):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    (run,) = read_runs(path, **{"schedule": CONSTANT, **keys})
    return run


def refused(tmp_path, text, message, name="a.csv", **keys):
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, text, name, **keys)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def rows(*pairs):
    return HEADER + "".join(f"{step},{loss}\n" for step, loss in pairs)


@pytest.mark.parametrize("bad", ["nan", "NaN", "inf", "-inf", "1e999"])
def test_one_loss_that_is_not_finite_is_left_out(tmp_path, bad):
    run = read(tmp_path, rows((0, 5), (100, bad), (200, 4)))
    np.testing.assert_array_equal(run.step, [0, 200])
    assert "a.csv:3: loss is" in run.caveats[0]
    assert "rows left out, not finite: 1" in run.caveats[0]
    assert not run.diverged


@pytest.mark.parametrize(
    ("tail", "diverged"),
    [
        (["nan", "nan"], True),
        (["nan"], True),
        (["13"], True),
        (["13", "14", "6"], True),
        (["13", "14", "3"], False),
        (["13", "14", "inf", "4.1"], False),
        (["nan", "nan", "3"], False),
        (["nan", "nan", "13"], True),
        (["13", "3"], False),
        (["nan", "3"], False),
        (["11", "11"], False),
    ],
)
def test_a_run_diverges_when_it_is_not_finite_or_thrice_its_minimum(tmp_path, tail, diverged):
    losses = ["5", "4", *tail]
    run = read(tmp_path, rows(*((100 * i, loss) for i, loss in enumerate(losses))))
    assert run.diverged is diverged
    assert run.metadata["diverged"] is diverged
    assert any("diverged; fits leave it out" in c for c in run.caveats) is diverged


def test_a_run_that_diverged_at_once_does_not_spoil_the_others(tmp_path):
    (tmp_path / "bad.csv").write_text(rows((0, 10), (1, "nan"), (2, "nan")))
    (tmp_path / "good.csv").write_text(rows((0, 10), (1, 9), (2, 8)))
    runs = read_runs(tmp_path, schedule=CONSTANT)
    assert [run.diverged for run in runs] == [True, False]
    assert [len(run.step) for run in runs] == [1, 3]


def test_a_resumed_run_drops_the_abandoned_rows(tmp_path):
    text = rows((0, 9), (100, 8), (200, 7), (300, 6), (150, 7.5), (250, 6.5), (350, 5.5))
    run = read(tmp_path, text)
    np.testing.assert_array_equal(run.step, [0, 100, 150, 250, 350])
    assert "a.csv:6: steps go back to 150" in run.caveats[0]
    assert "repeated or abandoned: 2" in run.caveats[0]


def test_of_repeated_steps_the_later_row_counts(tmp_path):
    run = read(tmp_path, rows((0, 9), (100, 8), (100, 7), (200, 6)))
    np.testing.assert_array_equal(run.loss, [9, 7, 6])
    assert "rows left out, repeated or abandoned: 1" in run.caveats[0]


def test_a_log_written_backwards_is_turned_round(tmp_path):
    run = read(tmp_path, rows((300, 6), (200, 7), (100, 8)))
    np.testing.assert_array_equal(run.loss, [8, 7, 6])
    assert "backwards" in run.caveats[0]


@pytest.mark.parametrize(
    ("cut", "why"),
    [
        ("300", "1 of 2 fields"),
        ("300,3.", "shorter than all others"),
        ("300,", "shorter than all others"),
        ("300,6.5000e", "cut mid-line (loss is '6.5000e')"),
        ("3,6.5000", "step goes back"),
    ],
)
def test_a_log_cut_in_its_last_line_loses_that_line(tmp_path, cut, why):
    text = rows((0, "9.0000"), (100, "8.0000"), (200, "7.0000")) + cut
    run = read(tmp_path, text)
    np.testing.assert_array_equal(run.step, [0, 100, 200])
    (caveat,) = run.caveats
    assert "a.csv:5" in caveat
    assert why in caveat


def test_a_whole_last_line_without_a_newline_is_kept(tmp_path):
    text = rows((0, "9.0000"), (100, "8.0000"), (200, "7.0000")) + "300,6.5000"
    run = read(tmp_path, text)
    assert (run.final_step, run.caveats) == (300, ())


def test_json_lines_cut_in_the_last_line(tmp_path):
    lines = [
        '{"step": 0, "loss": 5}',
        '{"step": 1, "loss": NaN}',
        "",
        '{"step": 2, "loss": 4}',
        '{"st',
    ]
    text = "\n".join(lines)
    run = read(tmp_path, text, "a.jsonl")
    np.testing.assert_array_equal(run.step, [0, 2])
    assert "a.jsonl:5: cut mid-line" in run.caveats[0]
    assert "a.jsonl:2: loss is nan" in run.caveats[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (rows((0, 9), (100, "x8"), (200, 7)), r"a.csv:3: loss is 'x8', not a number"),
        (rows((0, 9), ("1OO", 8), (200, 7)), r"a.csv:3: step is '1OO', not a number"),
        (HEADER + "0,9\n100\n200,7\n", r"a.csv:3: 1 fields where the header has 2"),
        (HEADER + "0,9,1\n100,8\n200,7\n", r"a.csv:2: 3 fields where the header has 2"),
        (HEADER + "\n\n0,9\n\n100,x\n200,7\n", r"a.csv:6: loss is 'x'"),
        (HEADER + '"0","9"\n"100","x"\n"200",7\n', r"a.csv:3: loss is 'x'"),
        (HEADER + "0,9\n,8\n200,7\n", r"a.csv:3: loss without a step"),
        (rows((0, 9), (100, -1), (200, 7)), r"a.csv:3: loss is -1; losses must be positive"),
        (rows((0, 9), (100, 0), (200, 7)), r"a.csv:3: loss is 0; losses must be positive"),
        (rows((0, 9), (-5, 8), (200, 7)), r"a.csv:3: step is -5"),
        (rows((0, 9), (100.5, 8), (200, 7)), r"a.csv:3: step is 100.5"),
        (rows((0, 9), ("inf", 8), (200, 7)), r"a.csv:3: step is inf"),
        (rows((0, 9), ("nan", 8), (200, 7)), r"a.csv:3: .*step"),
        (rows((0, 9), ("7" * 30, 8), (200, 7)), r"a.csv:3: step is 7.77778e\+29; .* below 1e15"),
        ("step,lr,loss\n0,[/],9\n1,[/],8\n", r"a.csv:2: lr is '\[/\]', not a number"),
        (rows((100, 8)), r"only one row with a finite loss"),
        (rows((100, "nan"), (200, "nan")), r"no row with a finite loss"),
        (HEADER, r"a header and no rows"),
        ("", r"empty"),
        (" \n\n", r"empty"),
        ("0,9\n100,8\n", r"a.csv:1: the first line holds numbers"),
        ("step,bits,lr\n0,9,1\n", r"no loss column; found step, bits, lr; .* loss="),
        ("epoch,loss\n0,9\n", r"no step column; found epoch, loss; .* step="),
        ("step,loss,loss\n0,9,8\n1,2,3\n", r"two columns named 'loss'"),
        ("step,Loss,loss\n0,9,8\n1,2,3\n", r"'Loss' and 'loss' could both be the loss"),
        ("step;loss\n0;9,5\n100;8,5\n", r"a.csv:2: loss is '9,5'.*decimal point"),
        ('step,loss\n0,"9,5"\n100,"8,5"\n', r"a.csv:2: loss is '9,5'.*decimal point"),
        ("step,loss\n0,9,5\n100,8,5\n", r"a.csv:2: 3 fields.*decimal comma"),
        (b"\x00\x01\x02\xff" * 50, r"binary data"),
        (b"\x89PNG\r\n\xfe\xfd", r"binary data"),
        ("step,loss\n0,9\n1,8\n".encode("utf-16"), r"UTF-16"),
        (rows((2000, 9), (3000, 8)), r"no row within the horizon 1000"),
        (rows((200, 9), (3000, 8)), r"only one row within the horizon 1000"),
    ],
)
def test_a_wrong_log_is_refused_in_one_line_with_its_place(tmp_path, text, message):
    refused(tmp_path, text, message)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.jsonl",
            '{"step": 0, "loss": 5}\n{"st\n{"step": 2, "loss": 4}\n',
            r"a.jsonl:2: not a JSON",
        ),
        (
            "a.jsonl",
            '{"step": 0, "loss": 5}\n[1]\n{"step": 2, "loss": 4}\n',
            r"a.jsonl:2: not a JSON",
        ),
        ("a.jsonl", "[" * 100_000 + "\n", r"a.jsonl:1: not a JSON"),
        (
            "a.jsonl",
            '{"step": 0, "loss": [5, 2]}\n{"step": 1, "loss": [4]}\n',
            "does not hold numbers",
        ),
        (
            "a.jsonl",
            '{"step": 0, "loss": "x"}\n{"step": 1, "loss": 4}\n',
            r"a.jsonl:1: loss is 'x'",
        ),
        ("a.parquet", b"PAR1 is not enough", "not a whole Parquet file"),
        ("a.parquet", b"", "empty"),
        ("trainer_state.json", '{"log_history": [{"step"', r"trainer_state.json:1: not whole JSON"),
        ("trainer_state.json", '{"log_history": []}', "log_history is empty"),
        ("trainer_state.json", "[1, 2]", "no log_history"),
        ("metrics.csv", "epoch,val_loss\n0,3\n", "no step column"),
        ("a.json", "{}", "holds no rows"),
        ("weights.pt", b"PK\x03\x04\x00\x00", "binary data"),
    ],
)
def test_each_format_refuses_what_it_is_not(tmp_path, name, text, message):
    refused(tmp_path, text, message, name)


def test_pickles_are_never_opened(tmp_path):
    import pickle

    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was executed",))

    refused(tmp_path, pickle.dumps(Trap()), "binary data", "a.pkl")


def test_steps_beyond_the_horizon_are_left_out(tmp_path):
    run = read(tmp_path, rows((0, 9), (500, 8), (1000, 7), (1001, 6), (2000, 5)))
    assert run.final_step == 1000
    assert "a.csv:5: step 1001 lies beyond the horizon 1000" in run.caveats[0]
    assert "rows left out: 2" in run.caveats[0]


@pytest.mark.parametrize(
    "text",
    [
        "step,loss\r\n0,9\r\n100,8\r\n",
        "step,loss\r0,9\r100,8\r",
        "\ufeffstep,loss\n0,9\n100,8\n",
        '"step","loss"\n"0","9"\n"100","8"\n',
        "step,loss\n0.0,9\n100.0,8\n",
        "step, loss\n 0, 9\n 1e2, 8\n",
        "step\tloss\n0\t9\n100\t8\n",
        "step;loss\n0;9\n100;8\n",
        "step,loss,,note\n0,9,,x\n100,8,,\n",
        'step,note,loss\n0,"two\nlines, and a comma",9\n100,,8\n',
    ],
)
def test_harmless_variations_read_alike(tmp_path, text):
    for name in ("a.csv", "a.log"):
        run = read(tmp_path, text, name)
        np.testing.assert_array_equal(run.step, [0, 100])
        np.testing.assert_array_equal(run.loss, [9, 8])
        assert run.caveats == ()


def test_two_unnamed_or_repeated_columns_that_are_not_used_do_no_harm(tmp_path):
    run = read(tmp_path, "step,x,x,loss\n0,1,2,9\n100,1,2,8\n")
    np.testing.assert_array_equal(run.loss, [9, 8])


def test_negative_or_missing_rates_are_left_out_with_a_caveat(tmp_path):
    text = "step,lr,loss\n0,0.1,9\n100,nan,8\n200,-1,7\n300,0.1,6\n"
    run = read(tmp_path, text, schedule=None)
    assert run.schedule(150) == pytest.approx(0.1)
    assert "a.csv:3: lr is nan; 2 logged rates" in run.caveats[0]
    refused(tmp_path, "step,lr,loss\n0,0,9\n100,0,8\n", "no positive lr", schedule=None)


@pytest.mark.parametrize("horizon", [0, -5, float("nan"), float("inf")])
def test_a_horizon_that_is_none_is_refused(tmp_path, horizon):
    (tmp_path / "a.csv").write_text("step,lr,loss\n0,0.1,9\n100,0.1,8\n")
    with pytest.raises(InputError, match="horizon"):
        read_runs(tmp_path / "a.csv", horizon=horizon)


def test_places_without_logs_are_refused(tmp_path):
    (tmp_path / "notes.md").write_text("hello")
    for source, message in [
        (tmp_path, "no logs in it"),
        (tmp_path / "none.csv", "no such file or folder"),
        (str(tmp_path / "*.parquet"), "matches no file"),
        ([], "no runs are named"),
    ]:
        with pytest.raises(InputError, match=message):
            read_runs(source)


def damaged(text, rng):
    """A text with a few bytes changed, lost, put in or written twice, or its end cut off."""
    raw = bytearray(text.encode())
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(raw))
        noise = bytes(rng.choices(b'0123456789.,-+e"\n;:{}[]nai\t \x00\xff', k=rng.randint(1, 5)))
        raw = rng.choice(
            [
                raw[:at] + noise + raw[at + len(noise) :],
                raw[:at] + noise + raw[at:],
                raw[:at] + raw[at + 9 :],
                raw[: at + 1],
                raw[:at] + raw[max(0, at - 30) :],
            ]
        ) or bytearray(b" ")
    return bytes(raw)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "trainer_state.json", "runs.csv"])
def test_any_damage_gives_runs_or_one_line(tmp_path, name):
    records = [{"step": 10 * i, "lr": 0.1, "loss": 3 + 1 / (i + 1)} for i in range(20)]
    good = {
        "a.csv": "step,lr,loss\n" + "".join(f"{10 * i},0.1,{3 + 1 / (i + 1)}\n" for i in range(20)),
        "a.jsonl": "".join(json.dumps(record) + "\n" for record in records),
        "trainer_state.json": json.dumps({"log_history": records}, indent=1),
        "runs.csv": 'run,schedule,batch\na,"cosine:peak=0.1,horizon=200",8\n',
    }
    rng = random.Random(0)
    if name == "runs.csv":
        (tmp_path / "a.csv").write_text(good["a.csv"])
    for _ in range(200):
        (tmp_path / name).write_bytes(damaged(good[name], rng))
        try:
            runs = read_runs(tmp_path)
        except InputError as error:
            assert len(str(error).splitlines()) == 1  # noqa: PT017
        else:
            assert all(np.all(np.isfinite(run.loss)) for run in runs)
