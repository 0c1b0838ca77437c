"""Write letters; the worker sends them."""

from __future__ import annotations

import json
from typing import Any

from devflow.core.crypto import vault
from devflow.core.db import db
from devflow.core.use_case import emit
from devflow.features.mail.events import LetterWritten
from devflow.features.mail.models import Letter


def send(to: str, template: str, subject: str, **context: Any) -> Letter:
    """Put a letter on its way, in the transaction of the use case that wants it.

    `template` names `templates/mail/<template>.txt` and `.html`; `context` is what they say, as JSON. A `path` in it
    becomes `link` there: the address of that path on this instance.
    """
    letter = Letter(to=to, template=template, subject=subject, context=vault().seal(json.dumps(context)))
    db.session.add(letter)
    db.session.flush()
    emit(LetterWritten(letter.id))
    return letter
