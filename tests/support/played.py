"""An upstream protocol that plays made-up events over a real connection: no chunks among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from flask_llmchat import (
    ChatRequest,
    Document,
    Event,
    Finish,
    Image,
    LLMChat,
    Model,
    Provider,
    ReasoningDelta,
    ReasoningEnd,
    Source,
    Target,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Totals,
    Usage,
)
from flask_llmchat.testing import FakeUpstream, ReceivedRequest, Reply

Script = Sequence[Sequence[Event]]
"""The events of each server-sent event of a response."""

USAGE = Usage(
    prompt_tokens=7,
    completion_tokens=5,
    total_tokens=12,
    cached_tokens=3,
    cache_write_tokens=2,
    reasoning_tokens=4,
    details={"input_tokens": 7, "output_tokens": 5, "total_tokens": 12, "output_details": {}},
)


class PlayedParser:
    """Takes the number of the next events in the script."""

    def __init__(self, script: Script) -> None:
        self.finish_reason: str | None = None
        self.done = False
        self._script = script
        self._played: list[Event] = []

    def parse(self, name: str, data: bytes) -> list[Event]:
        events = list(self._script[int(data)])
        self._played += events
        for event in events:
            if isinstance(event, Finish):
                self.finish_reason, self.done = event.reason, True
        return events

    def parse_whole(self, body: Any, data: bytes) -> list[Event] | None:
        return None

    def finish(self) -> list[Event]:
        return []

    def totals(self) -> Totals:
        def all_of(kind: Any) -> list[Any]:
            return [event for event in self._played if isinstance(event, kind)]

        calls = [list(of) for _, of in groupby(all_of(ToolCallDelta), lambda call: call.index)]
        return Totals(
            text=[event.text for event in all_of(TextDelta)],
            reasoning=[event.text for event in all_of(ReasoningDelta)],
            reasoning_details=[end.detail for end in all_of(ReasoningEnd) if end.detail],
            tool_calls=[
                ToolCall(
                    of[0].id, of[0].name, "".join(c.arguments for c in of), custom=of[0].custom
                )
                for of in calls
            ],
            sources=all_of(Source),
            documents=all_of(Document),
            images=[image.url for image in all_of(Image)],
            usage=USAGE,
            finish_reason=self.finish_reason,
        )


class Played:
    """A made-up protocol: the response is the script that the last message of a user names."""

    name = "played"
    path = "/played"
    headers: Mapping[str, str] = {}

    def __init__(self, scripts: Mapping[str, Script]) -> None:
        self._scripts = scripts
        self._script: Script = ()

    def build_body(
        self, chat: ChatRequest, provider: Provider, target: Target, model: Model
    ) -> dict[str, Any]:
        asked = [m["content"] for m in chat.messages if m["role"] == "user"]
        self._script = self._scripts[asked[-1]]
        return {"events": len(self._script), "messages": chat.messages}

    def parser(self, provider: Provider, *, passthrough: bool) -> PlayedParser:
        return PlayedParser(self._script)


def played(scripts: Mapping[str, Script]) -> LLMChat:
    """Return an extension whose one provider, ``toy``, plays scripts. One chat at a time."""
    row = Provider(name="toy", label="Toy", key_required=False, protocol=Played(scripts))
    return LLMChat(providers=[row])


def player() -> FakeUpstream:
    """Return the server that it needs."""
    return FakeUpstream(_play, paths=["/played"])


def _play(request: ReceivedRequest) -> Reply:
    numbers = range(request.json["events"])
    stream = [b"data: %d\n\n" % number for number in numbers]
    return Reply(headers={"Content-Type": "text/event-stream"}, body=stream)
