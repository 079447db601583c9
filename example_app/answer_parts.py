"""The parts of a UIMessage: what the page shows, and sends back, of a response.

https://ai-sdk.dev/docs/reference/ai-sdk-core/ui-message
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

from flask_llmchat import ChatResult, ToolRun

Part = dict[str, Any]

_WAITS, _DECIDED = "approval-requested", "approval-responded"


def parts_of(result: ChatResult) -> Iterator[Part]:
    """Give a response as the parts of a UIMessage, in the order of most responses.

    Without the calls of an earlier response, whose approvals came with this chat.
    """
    if result.reasoning or result.reasoning_details:
        part: Part = {"type": "reasoning", "text": result.reasoning}
        if result.reasoning_details:  # some providers need them back in the next turn
            details = {"reasoning_details": list(result.reasoning_details)}
            part["providerMetadata"] = {result.provider: details}
        yield part
    waits_in = {pending.step for pending in result.approvals}
    own = [run for run in result.tool_runs if run.step]
    for step, runs in groupby(own, attrgetter("step")):
        yield from (_run_part(run) for run in runs if run.name)
        if step not in waits_in:
            yield {"type": "step-start"}  # then the model was called again
    if result.text:
        yield {"type": "text", "text": result.text}
    for call in result.tool_calls:
        if call.name:
            part = {
                "type": f"tool-{call.name}",
                "toolCallId": call.id or f"call_{uuid.uuid4().hex}",
                "state": "input-available",
            }
            if call.extra_content:
                google = call.extra_content.get("google") or {}
                signature = {"thoughtSignature": google.get("thought_signature")}
                part["callProviderMetadata"] = {result.provider: signature}
            try:
                part["input"] = json.loads(call.arguments or "{}")
            except ValueError:  # cut off: such a call is shown, and not sent again
                part |= {"state": "input-streaming", "input": call.arguments}
            yield part
    for pending in result.approvals:
        yield {
            "type": f"tool-{pending.name}",
            "toolCallId": pending.call_id,
            "state": _WAITS,
            "input": _json_or_text(pending.arguments or "{}"),
            "approval": {"id": pending.id},
        }
    for url in result.images:
        yield {"type": "file", "mediaType": "image/*", "url": url}
    for number, source in enumerate(result.sources):
        part = {"type": "source-url", "sourceId": f"source-{number}", "url": source.url}
        yield {**part, "title": source.title} if source.title else part


def _run_part(run: ToolRun) -> Part:
    """Return a call that the server has run, with its result."""
    part = {"type": f"tool-{run.name}", "toolCallId": run.call_id}
    return {**part, "input": _json_or_text(run.arguments or "{}"), **_result(run)}


def _result(run: ToolRun) -> Part:
    if run.outcome != "ok":
        return {"state": "output-error", "errorText": run.result}
    return {"state": "output-available", "output": _json_or_text(run.result)}


def decided(parts: list[Part], decisions: Sequence[bool]) -> list[Part] | None:
    """Return a response's parts with the user's decisions on the calls that wait in it.

    :return: None when another number of calls waits, or none does.
    """
    approvals = [part["approval"] for part in parts if part.get("state") == _WAITS]
    if not approvals or len(approvals) != len(decisions):
        return None
    changes = [
        {"state": _DECIDED, "approval": {**approval, "approved": approved}}
        for approval, approved in zip(approvals, decisions, strict=True)
    ]
    return _changed(parts, _WAITS, changes)


def settled(parts: list[Part], call_ids: Sequence[str], runs: Sequence[ToolRun]) -> list[Part]:
    """Return the parts with the results of the calls that the user has decided on.

    :param call_ids: those calls, in their order, by the ids that the page has for them.
    """
    results = {run.call_id: _result(run) for run in runs if run.step == 0}
    answers = [part["approval"]["approved"] for part in parts if part.get("state") == _DECIDED]
    changes = [
        results.get(call_id, {}) if approved else {"state": "output-denied"}
        for approved, call_id in zip(answers, call_ids, strict=True)
    ]
    return _changed(parts, _DECIDED, changes)


def _changed(parts: list[Part], state: str, changes: list[Part]) -> list[Part]:
    """Return the parts, of which each that has a state is updated with one of the changes."""
    left = iter(changes)
    return [{**part, **next(left)} if part.get("state") == state else part for part in parts]


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
