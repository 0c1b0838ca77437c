"""A page served by the standard library alone."""

import argparse
import html
import os
import platform
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TEMPLATE = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")


class Handler(BaseHTTPRequestHandler):
    greeting = ""

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self.answer(200, "application/json", '{"status":"ok"}')
        elif self.path == "/":
            self.answer(200, "text/html; charset=utf-8", self.page())
        else:
            self.answer(404, "text/plain", "Not found\n")

    def page(self) -> str:
        facts = {
            "greeting": self.greeting,
            "deployment": os.environ.get("DEVFLOW_DEPLOYMENT", "–"),
            "python": platform.python_version(),
        }
        text = TEMPLATE
        for name, value in facts.items():
            text = text.replace("{" + name + "}", html.escape(value))
        return text

    def answer(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--greeting", default="Hello")
    Handler.greeting = parser.parse_args().greeting
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    port = int(os.environ.get("PORT", "8000"))
    print(f"Listening on port {port}", flush=True)
    ThreadingHTTPServer(("", port), Handler).serve_forever()
