"""The smallest pleasant Flask app: one page, one health check."""

import os
import platform
from datetime import UTC, datetime

from flask import Flask, render_template

app = Flask(__name__)
started = datetime.now(UTC)


@app.get("/")
def page():
    return render_template(
        "page.html",
        deployment=os.environ.get("DEVFLOW_DEPLOYMENT", ""),
        greeting=os.environ.get("GREETING", "It is live"),
        python=platform.python_version(),
        started=started,
    )


@app.get("/healthz")
def health():
    return {"status": "ok"}
