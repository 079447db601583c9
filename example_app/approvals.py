"""What the user has said yes to is carried out once, whichever worker is asked to."""

from __future__ import annotations

import time

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError

from .chat import llmchat
from .database import db
from .models import UsedApproval


@llmchat.approval_claimer
def claim(key: str, expires_at: float) -> bool:
    """Use an approval; return whether it had not been used before, by any worker."""
    db.session.execute(delete(UsedApproval).where(UsedApproval.expires_at < time.time()))
    db.session.add(UsedApproval(key=key, expires_at=expires_at))
    try:
        db.session.commit()
    except IntegrityError:  # a check before would leave a gap for another worker
        db.session.rollback()
        return False
    return True
