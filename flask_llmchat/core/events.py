"""Events: what a response consists of, between the upstream protocol and the dialect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, slots=True)
class Source:
    """A page that the answer rests on."""

    url: str
    title: str = ""


@dataclass(slots=True)
class TextDelta:
    """A piece of the answer."""

    text: str


@dataclass(slots=True)
class ReasoningDelta:
    """A piece of the model's thinking aloud."""

    text: str


@dataclass(slots=True)
class ToolCallDelta:
    """A piece of a tool call; ``id`` and ``name`` are in its first piece, and "" in the others."""

    index: int
    id: str
    name: str
    arguments: str
    extra_content: dict[str, Any] | None = None
    custom: bool = False


@dataclass(slots=True)
class Image:
    """An image in the answer, as a URL; most often a ``data:`` one."""

    url: str


@dataclass(slots=True)
class Finish:
    """The provider's own ending: ``stop``, ``length``, ``content_filter`` or ``tool_calls``."""

    reason: str


@dataclass(slots=True)
class StepStart:
    """A further response of the model begins, after the one before it has ended.

    Text, reasoning and tool calls do not go on from one response to the next. The ``Finish`` of
    a response that another one follows is not passed on: a chat has one.
    """


@dataclass(slots=True)
class Chunk:
    """A chunk as the provider sent it; the events that follow say what it brings.

    Only encoders that pass chunks on are given them. A chunk with several choices of the answer
    comes as one for each.

    :param data: its JSON, byte for byte; b"" where the reader has changed something in ``body``.
    :param body: the same, read.
    :param choice: its choice that is of the answer, if any.
    """

    data: bytes
    body: dict[str, Any]
    choice: dict[str, Any] | None = None


Event = TextDelta | ReasoningDelta | ToolCallDelta | Source | Image | Finish | StepStart | Chunk
"""What an answer comes as, piece by piece."""
