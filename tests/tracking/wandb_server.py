"""A server on this machine that speaks as much of W&B's API as its SDK needs, and can refuse in several ways."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

ENTITY = "team"
KEY = "k" * 40
Refusal = Literal["wrong_key", "rate_limit", "broken", "cut_off"]
_STATUS: dict[Refusal, int] = {"wrong_key": 401, "rate_limit": 429, "broken": 503, "cut_off": 0}


@dataclass
class ServedRun:
    """What the server knows of one run."""

    id: str
    name: str = ""
    group: str = ""
    job_type: str = ""
    project: str = ""
    notes: str = ""
    tags: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    uses: list[str] = field(default_factory=list)
    exit_code: int | None = None


class WandbServer:
    """runs by id; artifacts as (name, type, run id, aliases); files that were put, by their path.

    refusal: how every request is answered from now on; None: with what it asks for.
    """

    def __init__(self) -> None:
        self.runs: dict[str, ServedRun] = {}
        self.artifacts: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.refusal: Refusal | None = None
        self.refused = 0
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                """Nothing: tests read what came of it."""

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                with server._lock:
                    status, value = server._answer(self.path, self.headers.get("Authorization", ""), body)
                if status == 0:  # the network is lost after the question and before the answer
                    self.close_connection = True
                    return
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                if status == 429:
                    self.send_header("Retry-After", "1")
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = _answer

        class Http(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                """Nothing: a client that goes away in the middle is no fault here."""

        self._http = Http(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No connection is taken from now on: the network is gone."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def by_name(self) -> dict[str, ServedRun]:
        return {run.name: run for run in self.runs.values()}

    # -- the protocol ----------------------------------------------------------------------------------------

    def _answer(self, path: str, authorization: str, body: bytes) -> tuple[int, Any]:
        if self.refusal is not None:
            self.refused += 1
            return _STATUS[self.refusal], {"errors": [{"message": f"refused: {self.refusal}"}]}
        if path.startswith("/storage/"):
            self.files[path] = body
            return 200, {}
        if authorization != "Basic " + base64.b64encode(f"api:{KEY}".encode()).decode():
            self.refused += 1
            return 401, {"errors": [{"message": "user is not logged in"}]}
        if path.startswith("/files/"):
            return 200, self._stream(path.split("/")[4], json.loads(body))
        asked = json.loads(body)
        try:
            return 200, {"data": self._graphql(asked["query"], asked.get("variables") or {})}
        except ValueError as problem:
            return 400, {"errors": [{"message": str(problem)}]}

    def _stream(self, id: str, told: dict[str, Any]) -> dict[str, Any]:
        """The file stream: history lines, the summary, and how the run ended."""
        run = self.runs[id]
        for name, part in (told.get("files") or {}).items():
            lines = [json.loads(line) for line in part["content"]]
            if name == "wandb-history.jsonl":
                offset = part.get("offset", 0)
                run.history[offset : offset + len(lines)] = lines
            elif name == "wandb-summary.json":
                run.summary |= lines[-1]
        if told.get("complete"):
            run.exit_code = told.get("exitcode", 0)
        return {"limits": {}}

    def _graphql(self, query: str, values: dict[str, Any]) -> dict[str, Any]:
        owner = {"id": "entity", "name": ENTITY}
        if "viewer" in query:
            viewer = {"id": "user", "entity": ENTITY, "username": "tester", "email": "", "flags": "{}"}
            return {"viewer": {**viewer, "teams": {"edges": []}}}
        if "serverInfo" in query:
            return {"serverInfo": {"features": []}}
        if "upsertBucket" in query:
            _refuse_long_names(values)
            run = self._upsert(values)
            project = {"id": "project", "name": run.project, "entity": owner}
            bucket = {"id": f"bucket-{run.id}", "name": run.id, "displayName": run.name, "description": ""}
            bucket |= {"config": "{}", "sweepName": None, "historyLineCount": len(run.history), "project": project}
            return {"upsertBucket": {"bucket": bucket, "inserted": len(run.history) == 0}}
        if "RunResumeStatus" in query:
            known = self.runs.get(values["name"])
            bucket_or_none = _resumed(known) if known is not None else None
            return {
                "model": {"id": "project", "name": values.get("project"), "entity": owner, "bucket": bucket_or_none}
            }
        if "createRunFiles" in query:
            files = [
                {"name": name, "uploadUrl": f"{self.url}/storage/{values['run']}/{name}"} for name in values["files"]
            ]
            return {"createRunFiles": {"runID": values["run"], "uploadHeaders": [], "files": files}}
        if "Artifact" in query or "artifact" in query:
            return self._artifact(query, values)
        return {"entity": None, "organization": None}

    def _upsert(self, values: dict[str, Any]) -> ServedRun:
        run = self.runs.setdefault(values["name"], ServedRun(id=values["name"]))
        names = {"name": "displayName", "group": "groupName", "job_type": "jobType", "project": "project"}
        for own, theirs in (names | {"notes": "notes"}).items():
            setattr(run, own, values.get(theirs) or getattr(run, own))
        run.tags = tuple(values.get("tags") or run.tags)
        told = json.loads(values.get("config") or "{}")
        run.config |= {name: value.get("value") for name, value in told.items() if name != "_wandb"}
        if values.get("summaryMetrics"):
            run.summary |= json.loads(values["summaryMetrics"])
        return run

    def _artifact(self, query: str, values: dict[str, Any]) -> dict[str, Any]:
        if "mutation CreateArtifact (" in query:
            given = values["input"]
            id = f"artifact-{len(self.artifacts)}"
            aliases = [alias["alias"] for alias in given.get("aliases") or ()]
            made = {"id": id, "name": given["artifactCollectionName"], "type": given["artifactTypeName"]}
            self.artifacts.append(
                {**made, "run": given.get("runName"), "aliases": aliases, "digest": given["digest"]}
            )
            state = {"id": id, "state": "PENDING", "artifactSequence": {"id": "sequence", "latestArtifact": None}}
            return {"createArtifact": {"artifact": state}}
        if "useArtifact" in query:
            given = values["input"]
            name = next(one["name"] for one in self.artifacts if one["id"] == given["artifactID"])
            self.runs[given["runName"]].uses.append(name)
            return {"useArtifact": {"artifact": {"id": given["artifactID"]}}}
        for mutation in ("createArtifactManifest", "updateArtifactManifest"):
            if mutation in query:
                file = {"id": "file", "uploadUrl": f"{self.url}/storage/manifest", "uploadHeaders": []}
                return {mutation: {"artifactManifest": {"id": "manifest", "file": file}}}
        if "createArtifactFiles" in query:
            nodes = [self._file(spec) for spec in values["input"]["artifactFiles"]]
            return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}
        if "commitArtifact" in query:
            return {"commitArtifact": {"artifact": {"id": values["artifactID"], "digest": "d"}}}
        return {"project": {"artifact": None, "artifactType": None}}

    def _file(self, spec: dict[str, Any]) -> dict[str, Any]:
        url = f"{self.url}/storage/{spec['artifactID']}/{spec['name']}"
        where = {"storagePath": spec["name"], "uploadUrl": url, "uploadHeaders": [], "uploadMultipartUrls": None}
        return {**where, "artifact": {"id": spec["artifactID"]}}


def _refuse_long_names(values: dict[str, Any]) -> None:
    """As W&B's own server does (wandb issues 4208 and 2760, NeMo Skills issue 842)."""
    for name in ("displayName", "groupName", "jobType", "project"):
        if len(values.get(name) or "") > 128:
            raise ValueError(f"invalid {name}, must be 128 characters or less")
    for tag in values.get("tags") or ():
        if not 1 <= len(tag) <= 64:
            raise ValueError(f"invalid tag '{tag}'. must be between 1 and 64 characters")


def _resumed(run: ServedRun) -> dict[str, Any]:
    """What a run that goes on is told of itself."""
    return {
        "id": f"bucket-{run.id}", "name": run.id, "displayName": run.name, "logLineCount": 0, "eventsLineCount": 0,
        "historyLineCount": len(run.history), "eventsTail": "[]", "tags": list(run.tags), "notes": run.notes,
        "historyTail": json.dumps([json.dumps(line) for line in run.history[-1:]]),
        "summaryMetrics": json.dumps(run.summary),
        "config": json.dumps({name: {"value": value} for name, value in run.config.items()}),
        "wandbConfig": '{"t": 1}',  # how the SDK tells a run that has begun from one that is only planned
    }  # fmt: skip


@contextmanager
def wandb_server() -> Iterator[WandbServer]:
    server = WandbServer()
    try:
        yield server
    finally:
        if server._thread.is_alive():
            server.stop()
