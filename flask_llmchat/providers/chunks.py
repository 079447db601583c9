"""Chat-completion chunks, as providers really send them, turned into events.

https://platform.openai.com/docs/api-reference/chat/streaming is what they should be. The
answer is the choice whose index is 0; everything else that a chunk may hold, and every part
that may be missing, null or said twice, comes from recordings.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from ..chat import (
    Event,
    Finish,
    Image,
    ReasoningDelta,
    Source,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from ..errors import ErrorChunk
from .think import InlineThink

_FINISH_REASONS = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "length": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}


class ChunkReader:
    """Reads the chunks of one answer, and keeps what they add up to.

    :param inline_think: take what stands between ``<think>`` and ``</think>`` at the
        beginning of the text for thinking.
    :ivar text: pieces of the answer so far.
    :ivar reasoning: pieces of the thinking so far.
    :ivar tool_calls: tool calls so far, by index.
    :ivar sources: pages the answer rests on, by URL, in the order they were told.
    :ivar images: URLs of the images so far.
    :ivar usage: token count, once the provider has told it.
    :ivar finish_reason: the provider's own ending, once it has told it.
    """

    def __init__(self, *, inline_think: bool = False) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.tool_calls: dict[int, ToolCall] = {}
        self.sources: dict[str, Source] = {}
        self.images: list[str] = []
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self._think = InlineThink() if inline_think else None
        self._half = ""  # the first half of a character whose other half is in the next chunk

    def read(self, chunk: Any) -> list[Event]:
        """Take the next chunk; return what it brings.

        :raises ErrorChunk: when it tells an error.
        """
        if not isinstance(chunk, dict):
            raise ErrorChunk(chunk)
        if chunk.get("error") or chunk.get("object") == "error":
            raise ErrorChunk(chunk)
        if usage := _usage_in(chunk):
            self.usage = usage
        events: list[Event] = []
        if "citations" in chunk or "search_results" in chunk:
            self._read_sources(_pages(chunk), events)
        for choice in _list_of_dicts(chunk.get("choices")):
            if not choice.get("index"):
                self._read_choice(choice, events)
        return events

    def finish(self) -> list[Event]:
        """Return what was held back, for it may have been half of something."""
        events: list[Event] = []
        if self._half:
            self._half = ""
            self._add_text("\ufffd", events)
        if self._think:
            self._add_all(self._think.finish(), events)
        return events

    def _read_choice(self, choice: dict[str, Any], events: list[Event]) -> None:
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self._read_delta(delta, events)
        if usage := _usage_in(choice):  # Moonshot's place for it
            self.usage = usage
        if reason := choice.get("finish_reason"):
            if reason == "error":
                raise ErrorChunk(choice)
            # One that we do not know still is an ending.
            if self.finish_reason is None:
                events += self.finish()
                self.finish_reason = _FINISH_REASONS.get(str(reason), "stop")
                events.append(Finish(self.finish_reason))

    def _read_delta(self, delta: dict[str, Any], events: list[Event]) -> None:
        content = delta.get("content")
        if reasoning := _reasoning_in(delta):
            self._add(ReasoningDelta(reasoning), events)
        if isinstance(content, list):
            content = "".join(_texts(content, "text"))
        # What a model says when it refuses is what it says to its user.
        content = content or delta.get("refusal")
        if content and isinstance(content, str):
            self._add_text(content, events)
        for call in _list_of_dicts(delta.get("tool_calls")):
            self._read_tool_call(call, events)
        for image in _list_of_dicts(delta.get("images")):
            if url := _url_in(image.get("image_url")):
                self.images.append(url)
                events.append(Image(url))
        annotations = _list_of_dicts(delta.get("annotations"))
        self._read_sources([a.get("url_citation") for a in annotations], events)

    def _add_text(self, text: str, events: list[Event]) -> None:
        if self._half or not text.isascii():
            text = self._whole(text)
        if self._think:
            self._add_all(self._think.feed(text), events)
        else:
            self._add(TextDelta(text), events)

    def _add(self, event: TextDelta | ReasoningDelta, events: list[Event]) -> None:
        if event.text:
            kept = self.text if isinstance(event, TextDelta) else self.reasoning
            kept.append(event.text)
            events.append(event)

    def _add_all(self, found: list[TextDelta | ReasoningDelta], events: list[Event]) -> None:
        for event in found:
            self._add(event, events)

    def _read_sources(self, pages: list[Any], events: list[Event]) -> None:
        for page in pages:
            url = _url_in(page)
            if url and url not in self.sources:
                title = page.get("title") if isinstance(page, dict) else ""
                self.sources[url] = source = Source(url, title if isinstance(title, str) else "")
                events.append(source)

    def _whole(self, text: str) -> str:
        """Join a surrogate pair that the provider's tokens cut in two; mend what has no pair."""
        text, self._half = self._half + text, ""
        if "\ud800" <= text[-1:] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _read_tool_call(self, piece: dict[str, Any], events: list[Event]) -> None:
        function = piece.get("function")
        function = function if isinstance(function, dict) else {}
        id_, name = str(piece.get("id") or ""), str(function.get("name") or "")
        arguments = function.get("arguments") or ""
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments)
        index = piece.get("index")
        if not isinstance(index, int):
            index = self._index_of(id_, name)
        call = self.tool_calls.setdefault(index, ToolCall())
        # Some providers repeat id and name in every piece.
        id_, name = (id_ if not call.id else ""), (name if not call.name else "")
        call.id += id_
        call.name += name
        call.arguments += arguments
        events.append(ToolCallDelta(index, id_, name, arguments))

    def _index_of(self, id_: str, name: str) -> int:
        """Find the call that a piece without an index belongs to: a new id begins a new one."""
        for index, call in self.tool_calls.items():
            if id_ and call.id == id_:
                return index
        if not self.tool_calls:
            return 0
        index, call = max(self.tool_calls.items())
        begins_another = (id_ and call.id) or (name and call.name)
        return index + 1 if begins_another else index


def _reasoning_in(delta: dict[str, Any]) -> str:
    """Return the thinking in a delta: one of the forms, for some providers send two at once."""
    for name in ("reasoning_content", "reasoning"):
        if (text := delta.get(name)) and isinstance(text, str):
            return text
    content = delta.get("content")
    if isinstance(content, list):
        return "".join(
            text
            for part in content
            if isinstance(part, dict) and isinstance(part.get("thinking"), list)
            for text in _texts(part["thinking"], "text")
        )
    details = delta.get("reasoning_details")
    if isinstance(details, list):
        return "".join([*_texts(details, "text"), *_texts(details, "summary")])
    return ""


def _list_of_dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _url_in(value: Any) -> str:
    url = value.get("url") if isinstance(value, dict) else value
    return url if isinstance(url, str) else ""


def _pages(chunk: dict[str, Any]) -> list[Any]:
    """Return Perplexity's citations, with the titles that stand in its search results."""
    results = _list_of_dicts(chunk.get("search_results"))
    by_url = {_url_in(result): result for result in results}
    citations = chunk.get("citations")
    if not isinstance(citations, list):
        return list(results)
    return [by_url.get(_url_in(page), page) for page in citations]


def _texts(parts: list[Any], name: str) -> list[str]:
    return [p[name] for p in parts if isinstance(p, dict) and isinstance(p.get(name), str)]


def _usage_in(chunk: Mapping[str, Any]) -> Usage | None:
    """Return the token count a chunk tells; the last one told is the whole."""
    usage = chunk.get("usage")
    if not usage and isinstance(groq := chunk.get("x_groq"), dict):
        usage = groq.get("usage")
    if not usage or not isinstance(usage, dict):
        return None

    def count(counts: Any, name: str) -> int:
        value = counts.get(name) if isinstance(counts, dict) else None
        return int(value) if isinstance(value, int | float) and math.isfinite(value) else 0

    prompt, completion = count(usage, "prompt_tokens"), count(usage, "completion_tokens")
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=count(usage, "total_tokens") or prompt + completion,
        cached_tokens=count(usage.get("prompt_tokens_details"), "cached_tokens"),
        reasoning_tokens=count(usage.get("completion_tokens_details"), "reasoning_tokens"),
        details=usage,
    )
