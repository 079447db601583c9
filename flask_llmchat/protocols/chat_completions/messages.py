"""The messages of a request body: a chat's, without what the provider or the model rejects."""

from __future__ import annotations

from collections.abc import Iterator

from ...core.reasoning import details_in
from ...core.request import REPLAY_FIELDS, Message
from ...models import Model
from ...providers import Provider
from ...providers.parts import PARTS, reject_unknown_parts


def sent_messages(messages: list[Message], row: Provider, model: Model) -> Iterator[Message]:
    """Give messages without what the provider or the model would reject.

    Of earlier responses, only the fields that are replayed to this provider are kept: another
    provider may have sent the rest.

    :raises ChatError: with status 422, for a content part of the user's that the provider rejects.
    """
    reject_unknown_parts(messages, row)
    wanted = row.replay_fields | (model.replay_fields if row.replay_by_model else frozenset())
    for message in messages:
        role = message["role"]
        if role == "developer" and not row.supports_developer_role:
            role = "system"
        if role in ("system", "developer") and not model.supports_system_messages:
            role = "user"
        if role != message["role"]:
            yield {**message, "role": role}
        elif role != "assistant":
            yield message
        else:
            kept = _kept(message, wanted, row)
            # A response that was stopped during its reasoning, for example, leaves nothing.
            if kept.get("content") or kept.get("tool_calls") or kept == message:
                yield kept


def _kept(message: Message, wanted: frozenset[str], row: Provider) -> Message:
    """Return what is replayed of an earlier response."""
    left_out = REPLAY_FIELDS - wanted
    if "reasoning_details" in message and "reasoning_details" not in left_out:
        if details := details_in(message):
            message = {**message, "reasoning_details": details}
        else:
            left_out |= {"reasoning_details"}
    if "reasoning_details" in message and "reasoning_details" not in left_out:
        left_out |= {"reasoning_content"} - row.replay_fields  # which repeats it
    kept = {name: value for name, value in message.items() if name not in left_out}
    content = kept.get("content")
    if content.__class__ is list:
        parts = row.extra_parts.union(PARTS)
        kept["content"] = [part for part in content if part.get("type") in parts] or None
    if calls := kept.get("tool_calls"):
        kept["tool_calls"] = [
            {name: value for name, value in call.items() if name not in left_out} for call in calls
        ]
        if "reasoning_content" in row.replay_fields:
            # Missing is an error, empty is not: https://github.com/openclaw/openclaw/pull/74846
            kept.setdefault("reasoning_content", "")
    return kept
