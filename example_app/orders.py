"""Tools that the server runs: the model can look up the user's orders, and ask to cancel one."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import select, update

from flask_llmchat import ChatRequest, ToolContext, ToolError

from .chat import llmchat
from .database import db
from .demo import DEMO
from .models import Order

_MOST = 20


def _in_the_demo(chat: ChatRequest) -> bool:
    """Not every model of every provider takes tools; the demo does."""
    return chat.provider == DEMO.name


# Whose orders these are is known from the login, and is not for the model to say.


@llmchat.tool(when=_in_the_demo)
def find_orders(
    context: ToolContext, status: Literal["open", "sent", "cancelled"] | None = None
) -> list[dict[str, Any]]:
    """List the user's own orders, newest first.

    :param status: only the orders with this status.
    """
    query = select(Order).filter_by(user_id=context.profile.user_id)
    if status is not None:
        query = query.filter_by(status=status)
    found = db.session.scalars(query.order_by(Order.placed.desc()).limit(_MOST))
    return [
        {
            "number": order.id,
            "item": order.item,
            "status": order.status,
            "placed": order.placed,
        }
        for order in found
    ]


@llmchat.tool(when=_in_the_demo, approval=True)
def cancel_order(context: ToolContext, number: int) -> str:
    """Cancel an order of the user's that is still open.

    :param number: the order's number, from find_orders.
    """
    mine = (Order.id == number) & (Order.user_id == context.profile.user_id)
    # In one statement, so that an order which is being sent at this moment is not cancelled.
    is_open = update(Order).where(mine, Order.status == "open")
    cancelled = db.session.execute(is_open.values(status="cancelled"))
    db.session.commit()
    if cancelled.rowcount:  # type: ignore[attr-defined]
        return f"Order {number} is cancelled."
    status = db.session.scalar(select(Order.status).where(mine))
    if status is None:
        raise ToolError(f"The user has no order {number}.")
    raise ToolError(f"Order {number} is {status} already, and cannot be cancelled.")
