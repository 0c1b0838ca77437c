"""Python projects: packages, the application object, Django, scripts."""

from __future__ import annotations

import pytest

from devflow.features.deployments.rules.detect import Evidence
from tests.features.deployments.rules.detect.conftest import Plan

FLASK = "from flask import Flask\napp = Flask(__name__)\n"
FASTAPI = "from fastapi import FastAPI\napp = FastAPI()\n"
REQUIREMENTS = {"requirements.txt": "Flask==3.1.0\ngunicorn>=23\n"}
GUNICORN = "gunicorn --bind 0.0.0.0:$PORT --threads 8 "
UVICORN = "uvicorn --host 0.0.0.0 --port $PORT "


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"app.py": FLASK}, GUNICORN + "app:app"),
        ({"main.py": "import flask as f\nsite = f.Flask('x')\n"}, GUNICORN + "main:site"),
        ({"main.py": "from flask import Flask as F\napp: F = F('x')\n"}, GUNICORN + "main:app"),
        (
            {"app.py": "try:\n    from flask import Flask\nfinally:\n    pass\nif True:\n    app = Flask('x')\n"},
            GUNICORN + "app:app",
        ),
        (
            {"wsgi.py": "from shop import create_app\napp = create_app()\n", "shop/__init__.py": ""},
            GUNICORN + "wsgi:app",
        ),
        ({"wsgi.py": "from shop import app as application\n", "shop/x.py": ""}, GUNICORN + "wsgi:application"),
        ({"shop/__init__.py": "def create_app(config=None):\n    pass\n"}, GUNICORN + "'shop:create_app()'"),
        ({"src/shop/web.py": FLASK}, GUNICORN + "shop.web:app"),
        (
            {"shop/__init__.py": "def make_app():\n    from flask import Flask\n    return Flask('x')\n"},
            GUNICORN + "'shop:make_app()'",
        ),
        ({"b.py": "def create_app(): ...\n", "server.py": FLASK}, GUNICORN + "server:app"),
        ({"app.py": "app = None\n", "hello.py": FLASK}, GUNICORN + "hello:app"),
        ({"tests/app.py": FLASK, "web/app.py": FLASK}, GUNICORN + "web.app:app"),
        ({"main.py": "def (:\n", "app.py": FLASK}, GUNICORN + "app:app"),
        ({"main.py": "app = '" + "(" * 100_000 + "\n", "app.py": FLASK}, GUNICORN + "app:app"),
        ({"main.py": "from bottle import Bottle\napp = Bottle()\n"}, GUNICORN + "main:app"),
        ({"main.py": FASTAPI}, UVICORN + "main:app"),
        ({"app/main.py": FASTAPI, "app/__init__.py": ""}, UVICORN + "app.main:app"),
        (
            {"main.py": "from fastapi import FastAPI\ndef create_app() -> FastAPI:\n    return FastAPI()\n"},
            "uvicorn --factory --host 0.0.0.0 --port $PORT main:create_app",
        ),
        ({"main.py": "from starlette.applications import Starlette\napp = Starlette()\n"}, UVICORN + "main:app"),
    ],
)
def test_the_application_object_is_found(plan: Plan, files: dict[str, str], command: str) -> None:
    assert plan(REQUIREMENTS | files).start_command == command


def test_code_under_main_and_in_functions_is_no_application(plan: Plan) -> None:
    inside = (
        "from flask import Flask\ndef f():\n    app = Flask('x')\nif __name__ == '__main__':\n    app = Flask('y')\n"
    )
    assert plan({**REQUIREMENTS, "app.py": inside}).start_command == "python app.py"


def test_a_factory_that_needs_arguments_cannot_be_called(plan: Plan) -> None:
    assert plan({**REQUIREMENTS, "app.py": "def create_app(config): ...\n"}).start_command == "python app.py"


def test_code_is_read_and_never_run(plan: Plan, tmp_path) -> None:
    trap = f"open({str(tmp_path / 'ran')!r}, 'w')\n"
    plan({**REQUIREMENTS, "app.py": trap + FLASK, "setup.py": trap, "shop/__init__.py": trap})
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("files", "title", "install"),
    [
        ({"requirements.txt": "flask"}, "Flask, with pip and Python 3.13", "pip install -r requirements.txt"),
        (
            {"requirements/production.txt": "flask"},
            "Flask, with pip and Python 3.13",
            "pip install -r requirements/production.txt",
        ),
        (
            {"pyproject.toml": '[project]\nname="x"\ndependencies=["flask"]\n', "uv.lock": ""},
            "Flask, with uv and Python 3.13",
            "uv sync --frozen --no-dev --no-install-project",
        ),
        (
            {"pyproject.toml": '[project]\nname="x"\ndependencies=["flask"]\n'},
            "Flask, with uv and Python 3.13",
            "uv sync --no-dev --no-install-project",
        ),
        (
            {"pyproject.toml": '[project]\nname="x"\n[build-system]\nrequires=[]\n'},
            "Flask, with pip and Python 3.13",
            "pip install .",
        ),
        (
            {"pyproject.toml": '[tool.poetry.dependencies]\nflask="^3"\npython="^3.11"\n', "poetry.lock": ""},
            "Flask, with poetry and Python 3.13",
            "poetry install --only main --no-root --no-interaction",
        ),
        (
            {
                "Pipfile": '[packages]\nflask="*"\n[requires]\npython_version="3.11"\n',
                "Pipfile.lock": '{"default": {"flask": {}}}',
            },
            "Flask, with pipenv and Python 3.11",
            "pipenv sync",
        ),
        ({"Pipfile": '[packages]\nflask="*"\n'}, "Flask, with pipenv and Python 3.13", "pipenv install --skip-lock"),
        ({"setup.py": "setup(install_requires=['flask'])"}, "Flask, with pip and Python 3.13", "pip install ."),
        ({}, "Flask, with Python 3.13", ""),
        (
            {"pyproject.toml": "[tool.ruff]\n", "requirements.txt": "flask"},
            "Flask, with pip and Python 3.13",
            "pip install -r requirements.txt",
        ),
    ],
)
def test_the_installer_follows_the_manifest(plan: Plan, files: dict[str, str], title: str, install: str) -> None:
    found = plan({"app.py": FLASK, **files})
    assert (found.title, found.install_command) == (title, install)


@pytest.mark.parametrize(
    ("files", "version"),
    [
        ({".python-version": "3.11\n"}, "3.11"),
        ({".python-version": "# pinned\n3.11.2\n3.13\n"}, "3.11"),
        ({"runtime.txt": "python-3.11.9\n"}, "3.11"),
        ({".tool-versions": "nodejs 22\npython 3.11.1\n"}, "3.11"),
        ({"pyproject.toml": '[project]\nname="x"\nrequires-python = "<3.12"\n'}, "3.11"),
        ({"pyproject.toml": '[tool.poetry.dependencies]\npython = "~3.11"\n'}, "3.11"),
        ({"pyproject.toml": '[project]\nname="x"\nrequires-python = 3\n'}, "3.13"),
    ],
)
def test_the_version_is_read_where_people_write_it(plan: Plan, files: dict[str, str], version: str) -> None:
    found = plan({"app.py": FLASK, "requirements.txt": "flask", **files})
    assert (found.runtime, found.runtime_version) == ("python", version)
    assert found.base_images == (f"python:{version}-slim",)


@pytest.mark.parametrize(
    ("requirements", "copied"),
    [
        ("flask", "COPY requirements.txt ./"),
        ("-r base.txt\n-c limits.txt", "COPY requirements.txt base.txt limits.txt ./"),
        ("-e .\n", "COPY --chown=app:app . ."),
        ("./wheels/x.whl\n", "COPY --chown=app:app . ."),
    ],
)
def test_what_the_install_needs_is_copied_before_it(plan: Plan, requirements: str, copied: str) -> None:
    files = {"base.txt": "flask", "limits.txt": "flask<4", "requirements.txt": requirements, "app.py": FLASK}
    lines = (plan(files).dockerfile_text or "").splitlines()
    install = next(index for index, line in enumerate(lines) if "pip install -r" in line)
    assert lines[install - 1] == copied


def test_servers_that_are_missing_are_installed(plan: Plan) -> None:
    found = plan({"requirements.txt": "flask", "app.py": FLASK})
    assert "set +a; pip install gunicorn" in (found.dockerfile_text or "")
    assert "gunicorn is installed to serve the app; name it in the requirements to pin it." in found.notes


@pytest.mark.parametrize("requirements", ["fastapi[standard]", "fastapi\nuvicorn[standard]==0.30\n"])
def test_servers_that_are_there_are_not(plan: Plan, requirements: str) -> None:
    assert "pip install uvicorn" not in (
        plan({"requirements.txt": requirements, "main.py": FASTAPI}).dockerfile_text or ""
    )


def test_a_server_named_by_the_procfile_is_installed(plan: Plan) -> None:
    found = plan({"requirements.txt": "flask", "app.py": FLASK, "Procfile": "web: gunicorn -b :$PORT app:app"})
    assert found.start_command == "gunicorn -b :$PORT app:app"
    assert "pip install gunicorn" in (found.dockerfile_text or "")


def test_evidence_names_packages_and_locks(plan: Plan) -> None:
    lock = "[[package]]\nname = 'a'\n" * 41
    project = '[project]\nname="x"\ndependencies=["flask>=3.1.2", "gunicorn==23.0.0", "rich"]\n'
    found = plan({"pyproject.toml": project, "uv.lock": lock, ".python-version": "3.13", "app.py": FLASK})
    assert found.evidence == (
        Evidence("pyproject.toml", "flask 3.1, gunicorn 23.0"),
        Evidence("uv.lock", "41 packages, locked"),
        Evidence(".python-version", "3.13"),
        Evidence("app.py", "the application app"),
    )


def test_variables_that_the_module_cannot_load_without_are_required(plan: Plan) -> None:
    code = "import os\nKEY = os.environ['STRIPE_KEY']\nPORT = os.environ['PORT']\nX = os.environ.get('X')\n"
    late = "def f():\n    return os.environ['LATE']\n"
    assert plan({**REQUIREMENTS, "app.py": code + FLASK + late}).required_secrets == ("STRIPE_KEY",)


def test_packages_that_compile_get_a_compiler(plan: Plan) -> None:
    text = plan({"requirements.txt": "flask\npsycopg2\n", "app.py": FLASK}).dockerfile_text or ""
    assert "apt-get install -y --no-install-recommends build-essential python3-dev libpq-dev" in text


def test_requirements_saved_by_powershell_are_read(plan: Plan, tmp_path) -> None:
    (tmp_path / "requirements.txt").write_bytes("flask==3.1\r\n".encode("utf-16"))
    assert plan({"app.py": FLASK}).evidence[0] == Evidence("requirements.txt", "flask 3.1")


def test_a_streamlit_page_is_served_by_streamlit(plan: Plan) -> None:
    found = plan({"requirements.txt": "streamlit", "app.py": "import streamlit\n"})
    assert found.start_command.startswith("streamlit run app.py --server.address 0.0.0.0 --server.port $PORT")


def test_a_generated_site_is_served_without_a_container(plan: Plan) -> None:
    found = plan({"requirements.txt": "mkdocs"}, build_command="mkdocs build", output_directory="site")
    assert (found.kind, found.static_path, found.framework) == ("static", "/site", "python")


def django(settings: str = "", **more: str) -> dict[str, str]:
    manage = 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n'
    apps = "INSTALLED_APPS = ['django.contrib.staticfiles']\n"
    wsgi = "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"
    files = {
        "manage.py": manage,
        "shop/settings.py": apps + settings,
        "shop/wsgi.py": wsgi,
        "requirements.txt": "django",
    }
    return files | more


def test_django_is_served_by_gunicorn_with_its_static_files(plan: Plan) -> None:
    found = plan(django("STATIC_ROOT = 'x'\n"))
    assert found.framework == "django"
    assert found.start_command == GUNICORN + "devflow_static:application"
    assert found.build_command == "python manage.py collectstatic --noinput"
    assert "pip install gunicorn whitenoise" in (found.dockerfile_text or "")


def test_django_with_whitenoise_is_left_alone(plan: Plan) -> None:
    found = plan(django("STATIC_ROOT = 'x'\nMIDDLEWARE = ['whitenoise.middleware.WhiteNoiseMiddleware']\n"))
    assert found.start_command == GUNICORN + "shop.wsgi:application"
    assert "devflow_static" not in (found.dockerfile_text or "")


def test_django_without_a_static_root_collects_nothing(plan: Plan) -> None:
    assert plan(django()).build_command == ""


def test_django_migrations_run_when_the_procfile_says_so(plan: Plan) -> None:
    files = django(**{"cart/migrations/0001_initial.py": ""})
    quiet = plan(files)
    assert quiet.release_command == ""
    assert any("release: python manage.py migrate" in note for note in quiet.notes)
    assert (
        plan(files | {"Procfile": "release: python manage.py migrate\n"}).release_command == "python manage.py migrate"
    )


def test_django_in_a_folder_is_started_there(plan: Plan) -> None:
    moved = {f"site/{name}" if name != "requirements.txt" else name: text for name, text in django().items()}
    found = plan(moved)
    assert found.start_command == "gunicorn --bind 0.0.0.0:$PORT --threads 8 --chdir site devflow_static:application"
    assert "> site/devflow_static.py" in (found.dockerfile_text or "")


def test_django_with_asgi_alone_is_served_by_uvicorn(plan: Plan) -> None:
    files = django()
    files["shop/asgi.py"] = files.pop("shop/wsgi.py")
    assert plan(files).start_command == UVICORN + "shop.asgi:application"


def test_django_settings_in_a_package_are_read_too(plan: Plan) -> None:
    files = django()
    del files["shop/settings.py"]
    files["shop/settings/base.py"] = "import os\nSTATIC_ROOT = 1\nINSTALLED_APPS=['django.contrib.staticfiles']\n"
    files["shop/settings/prod.py"] = "import os\nSECRET_KEY = os.environ['DJANGO_SECRET']\n"
    files["manage.py"] = files["manage.py"].replace("shop.settings", "shop.settings.prod")
    found = plan(files)
    assert found.build_command == "python manage.py collectstatic --noinput"
    assert found.required_secrets == ("DJANGO_SECRET",)
