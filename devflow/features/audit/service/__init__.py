"""Write into the ledger and read it, under the names that other features call."""

from devflow.features.audit.service.reading import activity, described, recent
from devflow.features.audit.service.writing import CHANGED, difference, noted, record, refused

__all__ = ["CHANGED", "activity", "described", "difference", "noted", "recent", "record", "refused"]
