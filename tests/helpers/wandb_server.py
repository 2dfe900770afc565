"""A server on this machine that answers the client of W&B, with the runs that a test gives it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

VIEWER = {"id": "1", "entity": "team", "username": "me", "email": "", "flags": "{}"}


@contextmanager
def wandb_server(runs: dict[str, dict[str, Any]]) -> Iterator[str]:
    """The address of a server with runs of one project: identifier -> name, config, history."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            asked = json.loads(body) if self.path == "/graphql" else {}
            data = _answer(runs, asked.get("query", ""), asked.get("variables") or {})
            answer = json.dumps({"data": data}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(runs: dict[str, dict[str, Any]], query: str, variables: dict[str, Any]) -> Any:
    if "viewer" in query:
        return {"viewer": {**VIEWER, "teams": {"edges": []}}}
    if variables.get("project") != "pilots":
        return {"project": None}
    if "runs(" in query:
        edges = [{"node": _run(key, run), "cursor": key} for key, run in runs.items()]
        page = {"endCursor": "end", "hasNextPage": False}
        listed = {"edges": edges, "pageInfo": page}
        return {"project": {"internalId": "1", "runCount": len(runs), "runs": listed}}
    name = variables.get("name") or variables.get("runName") or variables.get("run")
    if name not in runs:
        return {"project": {"run": None}}
    answer = _run(str(name), runs[str(name)])
    history = runs[str(name)]["history"]
    if "parquetHistory" in query:
        answer["parquetHistory"] = {"parquetUrls": [], "liveData": history}
    if "history(" in query:
        low, high = variables["minStep"], variables["maxStep"]
        answer["history"] = [json.dumps(row) for row in history if low <= row["_step"] < high]
    return {"project": {"run": answer}}


def _run(key: str, run: dict[str, Any]) -> dict[str, Any]:
    last = run["history"][-1]["_step"]
    return {
        "projectId": "1",
        "id": key,
        "name": key,
        "displayName": run["name"],
        "state": "finished",
        "config": json.dumps({name: {"value": value} for name, value in run["config"].items()}),
        "summaryMetrics": "{}",
        "systemMetrics": "{}",
        "historyLineCount": len(run["history"]),
        "historyKeys": {"lastStep": last},
        "tags": [],
        "createdAt": "2025-01-01T00:00:00",
        "heartbeatAt": "2025-01-01T00:00:00",
        "user": {"name": "me", "username": "me"},
    }
