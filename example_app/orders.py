"""A tool that the server runs: the model can look up the user's orders."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import select

from flask_llmchat import ToolContext

from .chat import llmchat
from .database import db
from .demo import DEMO
from .models import Order

_MOST = 20


# Not every model of every provider takes tools; the demo does.
@llmchat.tool(when=lambda chat: chat.provider == DEMO.name)
def find_orders(
    context: ToolContext, status: Literal["open", "sent"] | None = None
) -> list[dict[str, Any]]:
    """List the user's own orders, newest first.

    :param status: only the orders with this status.
    """
    # Whose orders these are is known from the login, and is not for the model to say.
    query = select(Order).filter_by(user_id=context.profile.user_id)
    if status is not None:
        query = query.filter_by(status=status)
    found = db.session.scalars(query.order_by(Order.placed.desc()).limit(_MOST))
    return [{"item": order.item, "status": order.status, "placed": order.placed} for order in found]
