"""What access adds to other features: guests of a project may have an account where sign-up is closed."""

from __future__ import annotations

from devflow.features.accounts.service.entering import may_join
from devflow.features.security.service.welcoming import invited

may_join.register(invited)
