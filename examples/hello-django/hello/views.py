"""One page and one health check."""

import os
import platform

import django
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render


def page(request: HttpRequest) -> HttpResponse:
    facts = {
        "deployment": os.environ.get("DEVFLOW_DEPLOYMENT", ""),
        "django": django.get_version(),
        "python": platform.python_version(),
    }
    return render(request, "hello/page.html", facts)


def health(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})
