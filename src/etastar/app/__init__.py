"""A local page on which one plans without the command line; it needs the extra `app` (Streamlit).

The page is thin: what is dropped on it is read by `read_runs`, planned by `plan` and written by
`write_plan`, as `etastar plan` does it. Where to change it: what one sees and can enter, from top
to bottom: `_page.py`; what becomes of that: `_work.py`.
"""

from pathlib import Path

PAGE = Path(__file__).with_name("_page.py")
"""The script that `streamlit run` is given; a path after `--` is filled in as the logs to read."""

__all__ = ["PAGE"]
