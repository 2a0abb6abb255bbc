"""An empty endpoint as FastAPI's documentation has it, under the edge's server. Put here: that app. Keep out: the edge.

`python -m benchmarks.empty PORT` serves it until told to stop. The edge's own empty endpoint takes its short cuts (ADR 17), so that it
is no measure of what the framework costs.
"""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI, Response

app = FastAPI(docs_url=None, redoc_url=None)


@app.get("/empty")
async def empty() -> Response:
    """Nothing."""
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
