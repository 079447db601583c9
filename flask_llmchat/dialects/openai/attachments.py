"""What a response has beside its text, where its provider sends no chunks of chat completions.

Of the lists under one name Node's SDK keeps only the last one, and Python's joins the strings of
objects that come twice. So each list comes once, with the finish reason.
"""

from __future__ import annotations

from typing import Any

from ...core.events import Document, Source
from ...core.result import ChatResult


def attachments_of(result: ChatResult) -> dict[str, Any]:
    """Return what a response has beside its text, as fields of a message or a delta."""
    found = {
        "reasoning_details": list(result.reasoning_details),
        "annotations": [
            *map(_url_citation, result.sources),
            *map(_file_citation, result.documents),
        ],
        "images": [{"type": "image_url", "image_url": {"url": url}} for url in result.images],
    }
    return {name: items for name, items in found.items() if items}


def _url_citation(source: Source) -> dict[str, Any]:
    # The SDKs' types promise the place in the text; 0 to 0 is none.
    page = {"url": source.url, "title": source.title, "start_index": 0, "end_index": 0}
    return {"type": "url_citation", "url_citation": page}


def _file_citation(document: Document) -> dict[str, Any]:
    file = {"filename": document.filename or document.title, "title": document.title}
    return {"type": "file_citation", "file_citation": file}
