"""Endpoints as FastAPI's documentation has them, under the edge's server: one that does nothing, one that does nothing but bring a
write to disk. Put here: that app. Keep out: the edge.

`python -m benchmarks.empty PORT` serves it until told to stop. The edge's own empty endpoint takes its short cuts (ADR 17), so that it
is no measure of what the framework costs.
"""

from __future__ import annotations

import os
import sys
import tempfile

import uvicorn
from fastapi import FastAPI, Response

app = FastAPI(docs_url=None, redoc_url=None)
_file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 for as long as the process lives
_EVENT = bytes(900)
"""As long as an event is in the log."""


@app.get("/empty")
async def empty() -> Response:
    """Nothing."""
    return Response()


@app.get("/synced")
async def synced() -> Response:
    """Nothing, once a write is on disk: what a promise to keep an event costs by itself, in this framework."""
    _file.write(_EVENT)
    os.fdatasync(_file.fileno())
    return Response()


if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(sys.argv[1]),
        loop="uvloop",
        http="api.edge.protocol:EdgeProtocol",
        access_log=False,
        server_header=False,
        log_config=None,
    )
