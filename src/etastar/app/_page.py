"""The page of `etastar app`, from top to bottom: logs, what was read, the run to plan, the plan.

Streamlit runs this file anew whenever something is entered; what takes time is kept in the state of
the session, by what it was made from.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import streamlit as st

from etastar._errors import InputError
from etastar.app._work import Columns, LogsRead, Planned, Wanted, planned, read_path, read_uploads
from etastar.schedule import UNITS

# Below the figure: beside it, it would leave none on a phone.
LEGEND = {"legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"}}
MIME = {"report.html": "text/html", "plan.json": "application/json"}


@contextmanager
def errors_as_messages() -> Iterator[None]:
    """Show what goes wrong as one line; with ETASTAR_DEBUG=1 the terminal gets the traceback."""
    try:
        yield
    except InputError as error:
        st.error(as_it_is(str(error)))
    except Exception as error:
        if os.environ.get("ETASTAR_DEBUG", "") not in ("", "0"):
            traceback.print_exception(error)
        st.error(
            f"{type(error).__name__}: {as_it_is(' '.join(str(error).split())[:300])}. This is a"
            " fault of etastar: start the page with ETASTAR_DEBUG=1 and report the traceback."
        )


def as_it_is(text: str) -> str:
    r"""Text, some of it from logs, in which Markdown finds nothing, such as a picture to fetch.

    >>> as_it_is("![](a) run_1")
    '!\\[\\](a) run\\_1'
    """
    return re.sub(r"([\\`*_\[\]<>$~#])", r"\\\1", text)


def remembered(name: str, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
    """What `make` returns, made once for each key; nothing is kept where it raises."""
    if st.session_state.get(f"{name} of") != key:
        st.session_state.pop(name, None)
        st.session_state[f"{name} of"] = None
        st.session_state[name] = make()
        st.session_state[f"{name} of"] = key
    return st.session_state[name]


def entered_columns() -> Columns:
    """What is said of logs where guessing failed; the names are those of `etastar plan`."""
    with st.expander("Name columns, where guessing failed"):
        left, middle, right = st.columns(3)
        return Columns(
            step=left.text_input("Column of the step (--step)", key="step").strip(),
            loss=middle.text_input("Column of the loss (--loss)", key="loss").strip(),
            lr=right.text_input("Column of the LR (--lr)", key="lr").strip(),
            batch=left.text_input(
                "Batch size of the logs (--runs-batch)",
                key="runs_batch",
                help="Samples or tokens of an update, where the logs do not say.",
            ).strip(),
            sequence_length=middle.text_input(
                "Tokens of a sample (--sequence-length)", key="sequence_length"
            ).strip(),
            schedule=right.text_input(
                "Schedule of the logs (--runs-schedule)",
                key="runs_schedule",
                help="A spec such as cosine:peak=1e-3,horizon=20000, where the logs have no LR.",
            ).strip(),
            pattern=st.text_input(
                "Regular expression (--pattern)",
                key="pattern",
                help="Finds the rows of text that is no table; its named groups step, loss and lr"
                " become columns.",
            ).strip(),
        )


def entered_logs() -> LogsRead | None:
    """The logs that were dropped or named, once they are read; None where there are none yet."""
    way = st.radio(
        "Logs of the pilot runs",
        ("Drop files", "Drop a folder", "Name a path"),
        index=2 if sys.argv[1:] else 0,
        horizontal=True,
        key="way",
        help="CSV, JSONL, Parquet, TensorBoard and others. A runs.csv among them declares their"
        " schedules.",
    )
    if way == "Name a path":
        path = st.text_input(
            "Path, glob or address", value=" ".join(sys.argv[1:2]), key="path"
        ).strip()
        columns = entered_columns()
        if not path:
            return None
        again = st.button("Read again", key="again")
        if again:
            st.session_state.pop("logs of", None)
        return read_anew((path, columns), lambda: read_path(path, columns))
    several = "directory" if way == "Drop a folder" else True
    uploads = st.file_uploader("Logs", accept_multiple_files=several, key=f"upload {several}")
    columns = entered_columns()
    if not uploads:
        return None
    key = (tuple(each.file_id for each in uploads), columns)
    return read_anew(key, lambda: read_uploads(uploads, columns))


def read_anew(key: tuple[Any, ...], read: Callable[[], LogsRead]) -> LogsRead:
    """The logs, read where they are others than before; these are not planned until asked."""

    def make() -> LogsRead:
        st.session_state.pop("wanted", None)
        return read()

    return remembered("logs", key, make)


def show_logs(logs: LogsRead) -> None:
    """The runs as a table and as curves, and what is doubtful about them."""
    from etastar.report import runs_figure, runs_summary

    st.subheader(f"{len(logs.runs)} run{'' if len(logs.runs) == 1 else 's'} read")
    table = runs_summary(logs.runs)
    st.dataframe(
        {str(column.header): list(map(str, column.cells)) for column in table.columns},
        hide_index=True,
    )
    st.plotly_chart(runs_figure(logs.runs).update_layout(LEGEND))
    if logs.remarks:
        with st.expander(f"{len(logs.remarks)} remarks"):
            for remark in logs.remarks:
                st.text(remark)


def entered_run() -> Wanted | None:
    """The run to plan, once the button is pressed."""
    from etastar.law import FORMS

    with st.form("run"):
        left, middle, right = st.columns(3)
        horizon = left.text_input("Horizon", value="20k", key="horizon", help="Such as 20k or 1e6.")
        units = [unit for unit in UNITS if unit != "epochs"]
        unit = middle.selectbox("Counted in", units, key="unit")
        batch = right.text_input(
            "Batch size",
            key="batch",
            help="That of the run to plan, or the lowest and the highest: 16,512. By default that"
            " of the logs.",
        )
        law = st.selectbox("Loss law", list(FORMS), key="law")
        if st.form_submit_button("Plan", type="primary"):
            st.session_state["wanted"] = Wanted(horizon.strip(), unit, batch.strip(), law)
    return st.session_state.get("wanted")


def show_plan(result: Planned) -> None:
    """The plan in numbers and figures, and its files."""
    from etastar.report import figure_of

    plan = result.plan
    st.subheader("The plan")
    peak, loss = st.columns(2)
    peak.metric("Peak LR", f"{plan.peak_lr:.3g}")
    loss.metric("Expected final loss", f"{plan.loss.value:.4f}")
    loss.caption(f"90% interval {plan.loss.low:.4f} to {plan.loss.high:.4f}")
    st.text(f"Nearest standard schedule: {plan.nearest.schedule.spec}")
    st.plotly_chart(figure_of(plan).update_layout(LEGEND))
    for caveat in plan.caveats:
        st.warning(as_it_is(caveat))
    columns = st.columns(len(result.files))
    for column, (name, content) in zip(columns, result.files.items(), strict=True):
        column.download_button(
            name, content, name, MIME.get(name, "application/json"), key=name, on_click="ignore"
        )
    st.text("The same at the command line:")
    st.code(result.command, language="sh", wrap_lines=True)


def main() -> None:
    """Show the page."""
    st.set_page_config(page_title="etastar", layout="centered")
    st.title("Plan a learning rate")
    with errors_as_messages():
        logs = entered_logs()
        if logs is None:
            st.info("Drop the logs of a few short pilot runs, or name the folder that they are in.")
            return
        show_logs(logs)
        wanted = entered_run()
        if wanted is None:
            return

        def make() -> Planned:
            bar = st.progress(0.0, "fitting")
            try:
                return planned(logs, wanted, lambda part, stage: bar.progress(part, stage))
            finally:
                bar.empty()

        key = (logs.made.inputs, logs.columns, logs.names, wanted)
        show_plan(remembered("plan", key, make))


if __name__ == "__main__":
    main()
