"""A FastAPI app: a page, a small API with its documentation, a health check."""

import os
import platform
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

app = FastAPI(title="Hello from FastAPI")
template = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")


@app.get("/", response_class=HTMLResponse, include_in_schema=False)
def page() -> str:
    facts = {"python": platform.python_version(), "deployment": os.environ.get("DEVFLOW_DEPLOYMENT", "–")}
    text = template
    for name, value in facts.items():
        text = text.replace("{" + name + "}", value)
    return text


@app.get("/api/add")
def add(a: float, b: float) -> dict[str, float]:
    """Add two numbers."""
    return {"sum": a + b}


@app.get("/healthz")
def health() -> dict[str, str]:
    return {"status": "ok"}
