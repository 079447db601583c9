"""What the provider's own tools did and found, and what the text cites of it."""

from __future__ import annotations

from typing import Any

from ...core.errors import StreamErrorEvent
from ...core.events import (
    Document,
    Event,
    Image,
    ProviderToolCall,
    ProviderToolResult,
    Source,
)
from ...core.limits import MAX_IMAGES, MAX_SOURCES, Budget
from ...core.result import ProviderTool, new_call_id
from ..base import Totals
from ..json_values import page_url, word
from .items import Item
from .provider_tools import image_in, pages_in, result_in, tool_in


class Findings:
    """Collects tools, pages, files and images, each once.

    :ivar tools: the calls of tools, by their ids.
    """

    def __init__(self, budget: Budget) -> None:
        self.tools: dict[str, ProviderTool] = {}
        self._budget = budget
        self._sources: dict[str, Source] = {}  # by URL
        self._documents: dict[str, Document] = {}  # by the id of the file
        self._images: dict[str, None] = {}

    def add_to(self, totals: Totals) -> None:
        """Add all that came so far to the totals of a response."""
        totals.provider_tools = list(self.tools.values())
        totals.sources = list(self._sources.values())
        totals.documents = list(self._documents.values())
        totals.images = list(self._images)

    def cite(self, annotation: dict[str, Any], events: list[Event]) -> None:
        """Add what the text cites."""
        url, file = page_url(word(annotation, "url")), word(annotation, "file_id")
        if url and url not in self._sources and len(self._sources) < MAX_SOURCES:
            self._sources[url] = source = Source(url, word(annotation, "title"))
            events.append(source)
        elif file and file not in self._documents and len(self._documents) < MAX_SOURCES:
            name = word(annotation, "filename") or file
            is_path = annotation.get("type") == "file_path"
            media_type = "application/octet-stream" if is_path else "text/plain"
            self._documents[file] = document = Document(name, name, media_type)
            events.append(document)

    def begin_tool(
        self, item: Item, wire: dict[str, Any], data: bytes, events: list[Event]
    ) -> None:
        """Give the call of a tool.

        :param data: the JSON of its event, or of the item.
        """
        self._budget.keep(data)
        if not image_in(wire):  # they have a bound of their own
            self._budget.spend(len(data))
        found = tool_in(wire)
        if item.tool is None and found is not None:
            id_, name, input_ = found
            id_ = id_ if id_ and id_ not in self.tools else new_call_id()
            item.tool = self.tools[id_] = ProviderTool(id_, name, input_)
            is_mcp = word(wire, "type").startswith("mcp_")
            events.append(ProviderToolCall(id_, name, input_, is_mcp))

    def end_code(self, item: Item, code: Any, events: list[Event]) -> None:
        """Give the call of a code interpreter whose code is complete."""
        if item.start is not None:
            self.begin_tool(item, {**item.start, "code": code}, b"", events)

    def end_tool(self, item: Item, wire: dict[str, Any], data: bytes, events: list[Event]) -> None:
        """Give the result of a tool, and its call if that has not been given.

        :raises StreamErrorEvent: when there are too many images.
        """
        self.begin_tool(item, wire, data, events)
        tool = item.tool
        if tool is None and item.kind.endswith("_output"):  # of a call that is an item of its own
            tool = self.tools.get(word(wire, "call_id"))
        if tool is None:
            return
        if (url := image_in(wire)) and url not in self._images:
            self._images[url] = None
            events.append(Image(url))
            if len(self._images) > MAX_IMAGES:
                raise StreamErrorEvent({"detail": f"More than {MAX_IMAGES} images are not taken."})
        for page in pages_in(wire):
            self.cite(page, events)
        if (result := result_in(wire)) is not None:
            tool.output, tool.failed = result
            events.append(ProviderToolResult(tool.id, tool.name, tool.output, tool.failed))
