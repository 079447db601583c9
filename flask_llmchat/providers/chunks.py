"""Chat-completion chunks, as providers really send them, turned into events.

https://platform.openai.com/docs/api-reference/chat/streaming is what they should be. The
answer is the choice whose index is 0; everything else that a chunk may hold, and every part
that may be missing, null or said twice, comes from recordings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..chat import (
    Chunk,
    Event,
    Finish,
    Image,
    ReasoningDelta,
    Source,
    TextDelta,
    ToolCall,
    Usage,
)
from ..errors import ErrorChunk
from .think import InlineThink
from .tools import ToolCalls, whole

# Providers' words, in lower case and up to a colon. A word that is not here is an ending too.
_FINISH_REASONS = {
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "recitation": "content_filter",
    "prohibited_content": "content_filter",
    "blocklist": "content_filter",
    "sensitive": "content_filter",
    "refusal": "content_filter",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
}

# These are no endings: the provider gave up.
_FAILURES = {
    "error",
    "abort",
    "aborted",
    "network_error",
    "insufficient_system_resource",
    "malformed_function_call",
}


_ERROR_FIELDS = {"detail", "message", "statusCode"}

# Looked for first, for most chunks bring a piece of text and nothing else.
_THINKING = {"reasoning_content", "reasoning", "reasoning_details"}
_BESIDES = {"tool_calls", "images", "annotations"}


class ChunkReader:
    """Reads the chunks of one answer, and keeps what they add up to.

    :param inline_think: take what stands between ``<think>`` and ``</think>`` at the
        beginning of the text for thinking.
    :param passes_chunks: put a :class:`Chunk` in front of the events of every chunk.
    :ivar text: pieces of the answer so far.
    :ivar reasoning: pieces of the thinking so far.
    :ivar sources: pages the answer rests on, by URL, in the order they were told.
    :ivar images: URLs of the images so far, in the order they came.
    :ivar usage: token count, once the provider has told it.
    :ivar finish_reason: the provider's own ending, once it has told it.
    """

    def __init__(self, *, inline_think: bool = False, passes_chunks: bool = False) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.sources: dict[str, Source] = {}
        self.images: dict[str, None] = {}
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self._reasoning_in = ""  # which of the places for thinking this provider uses
        self._details = _Details()
        self._calls = ToolCalls()
        self._think = InlineThink() if inline_think else None
        self._passes_chunks = passes_chunks
        self._half = ""  # the first half of a character whose other half is in the next chunk

    @property
    def tool_calls(self) -> dict[int, ToolCall]:
        """Return the tool calls so far, by index."""
        return self._calls.joined()

    @property
    def reasoning_details(self) -> list[dict[str, Any]]:
        """Return OpenRouter's form of the thinking, its pieces put together."""
        return self._details.joined()

    def read(self, chunk: Any, data: bytes = b"") -> list[Event]:
        """Take the next chunk; return what it brings.

        :param data: its JSON, as it came.
        :raises ErrorChunk: when it tells an error.
        """
        if not isinstance(chunk, dict):
            raise ErrorChunk(chunk)
        if chunk.get("error") or "error" in (chunk.get("object"), chunk.get("type")):
            raise ErrorChunk(chunk)
        if "choices" not in chunk and _ERROR_FIELDS & chunk.keys():
            raise ErrorChunk(chunk)
        if "usage" in chunk or "x_groq" in chunk:
            self._count(chunk)
        events: list[Event] = [Chunk(data, chunk)] if self._passes_chunks else []
        if "citations" in chunk or "search_results" in chunk:
            self._read_sources(_pages(chunk), events)
        for choice in _list_of_dicts(chunk.get("choices")):
            if choice.get("index") in (0, None, "0"):
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
        return [*events, *self._calls.finish()]

    def _count(self, holder: Mapping[str, Any]) -> None:
        usage = _usage_in(holder)
        if usage is not None and (usage.total_tokens or self.usage is None):
            self.usage = usage

    def _read_choice(self, choice: dict[str, Any], events: list[Event]) -> None:
        delta = choice.get("delta")
        if not (isinstance(delta, dict) and delta) and self._is_whole_answer(choice):
            # Put where encoders that are given the chunk look for it, too.
            delta = choice["delta"] = choice["message"]
        if isinstance(delta, dict):
            self._read_delta(delta, events)
        if "usage" in choice:  # Moonshot's place for it
            self._count(choice)
        if str(choice.get("native_finish_reason")).lower() == "error":
            raise ErrorChunk(choice)
        if choice.get("finish_reason"):
            self._read_ending(choice, events)

    def _is_whole_answer(self, choice: dict[str, Any]) -> bool:
        """Tell whether a choice has all of the answer in one ``message``, as without streaming."""
        begun = self.text or self.reasoning or self._calls or self.images or self._half
        return not begun and isinstance(choice.get("message"), dict)

    def _read_ending(self, choice: dict[str, Any], events: list[Event]) -> None:
        reason = str(choice["finish_reason"]).lower().partition(":")[0]
        if reason in _FAILURES:
            raise ErrorChunk(choice)
        if reason != "null" and self.finish_reason is None:
            events += self.finish()
            self.finish_reason = _FINISH_REASONS.get(reason, "stop")
            events.append(Finish(self.finish_reason))

    def _read_delta(self, delta: dict[str, Any], events: list[Event]) -> None:
        content = delta.get("content")
        if isinstance(content, dict):
            content = [content]
        if isinstance(content, list) or delta.keys() & _THINKING:
            self._read_reasoning(delta, content, events)
        if isinstance(content, list):
            content = "".join(map(_answer_in, content))
        # What a model says when it refuses is what it says to its user.
        content = content or delta.get("refusal")
        if content and isinstance(content, str):
            self._add_text(content, events)
        if delta.keys() & _BESIDES:
            self._read_besides(delta, events)

    def _read_reasoning(self, delta: dict[str, Any], content: Any, events: list[Event]) -> None:
        for place, reasoning in _reasoning_in(delta, content):
            # Some say the same in two places, and not always in the same chunk.
            if reasoning and self._reasoning_in in ("", place):
                self._reasoning_in = place
                self._add(ReasoningDelta(reasoning), events)
        for detail in _list_of_dicts(delta.get("reasoning_details")):
            self._details.add(detail)

    def _read_besides(self, delta: dict[str, Any], events: list[Event]) -> None:
        for call in _list_of_dicts(delta.get("tool_calls")):
            events.append(self._calls.read(call))
        for image in _list_of_dicts(delta.get("images")):
            if (url := _url_in(image.get("image_url"))) and url not in self.images:
                self.images[url] = None
                events.append(Image(url))
        annotations = _list_of_dicts(delta.get("annotations"))
        self._read_sources([a.get("url_citation") for a in annotations], events)

    def _add_text(self, text: str, events: list[Event]) -> None:
        if self._half or not text.isascii():
            text, self._half = whole(self._half + text)
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


def _reasoning_in(delta: dict[str, Any], content: Any) -> Iterator[tuple[str, str]]:
    """Give each place for thinking, and what stands there in this delta."""
    for name in ("reasoning_content", "reasoning"):
        text = delta.get(name)
        yield name, text if isinstance(text, str) else ""
    parts = _list_of_dicts(content)
    yield "content", "".join(thought for part in parts for thought in _thoughts(part))
    details = _list_of_dicts(delta.get("reasoning_details"))
    yield "reasoning_details", "".join([*_texts(details, "text"), *_texts(details, "summary")])


class _Details:
    """``reasoning_details``: the pieces of one kind and index are one detail.

    https://openrouter.ai/docs/use-cases/reasoning-tokens wants them back as they would have
    come without streaming.
    """

    def __init__(self) -> None:
        self._details: list[tuple[dict[str, Any], dict[str, list[str]]]] = []

    def add(self, piece: dict[str, Any]) -> None:
        last, texts = self._details[-1] if self._details else ({}, {})
        same = all(name in last and last[name] == piece.get(name) for name in ("type", "index"))
        if not same or piece["type"] not in ("reasoning.text", "reasoning.summary"):
            last, texts = dict(piece), {}
            self._details.append((last, texts))
        for name, value in piece.items():
            if name in ("text", "summary") and isinstance(value, str):
                texts.setdefault(name, []).append(value)
            elif value is not None:
                last[name] = value

    def joined(self) -> list[dict[str, Any]]:
        return [
            last | {name: "".join(pieces) for name, pieces in texts.items()}
            for last, texts in self._details
        ]


def _thoughts(part: dict[str, Any]) -> list[str]:
    thinking = part.get("thinking")
    if part.get("type") == "reasoning":
        thinking = part.get("text")
    if isinstance(thinking, str):
        return [thinking]
    if not isinstance(thinking, list):
        return []
    return [*_texts(thinking, "text"), *[text for text in thinking if isinstance(text, str)]]


def _answer_in(part: Any) -> str:
    """Return what a part of a content list says to the user."""
    if isinstance(part, dict) and part.get("type") != "reasoning":
        part = part.get("text")
    return part if isinstance(part, str) else ""


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
        return int(value) if isinstance(value, int | float) and 0 <= value < 2**63 else 0

    prompt, completion = count(usage, "prompt_tokens"), count(usage, "completion_tokens")
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=count(usage, "total_tokens") or prompt + completion,
        cached_tokens=count(usage.get("prompt_tokens_details"), "cached_tokens")
        or count(usage, "prompt_cache_hit_tokens")
        or count(usage, "cached_tokens"),
        reasoning_tokens=count(usage.get("completion_tokens_details"), "reasoning_tokens"),
        details=usage,
    )
