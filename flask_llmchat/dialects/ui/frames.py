"""The frames of a UI message stream; those of sources and images, which stand for themselves."""

from __future__ import annotations

from typing import Any

from ...core.events import Document, Source
from ..finite_json import dump


def frame(type: str, **fields: Any) -> str:
    """Return a server-sent event with a part of the stream."""
    return f"data: {dump({'type': type, **fields})}\n\n"


def source_frame(source: Source | Document, id: str) -> str:
    """Return the frame of a page or a document."""
    if isinstance(source, Source):
        title = {"title": source.title} if source.title else {}
        return frame("source-url", sourceId=id, url=source.url, **title)
    name = {"filename": source.filename} if source.filename else {}
    media_type = source.media_type or "text/plain"  # what the AI SDK says of any
    fields = {"mediaType": media_type, "title": source.title, **name}
    return frame("source-document", sourceId=id, **fields)


_IMAGE_TYPES = {
    "avif": "image/avif",
    "bmp": "image/bmp",
    "gif": "image/gif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "png": "image/png",
    "svg": "image/svg+xml",
    "webp": "image/webp",
}


def media_type_of(url: str) -> str:
    """Return the media type of an image, as far as its URL says it."""
    if url[:5].lower() == "data:":
        media_type = url[5:100].partition(",")[0].partition(";")[0].strip().lower()
        return media_type if media_type.startswith("image/") else "image/*"
    # Not urllib's parser, nor mimetypes, which uses it: it caches the last URLs for ever, and one
    # of them may be thirty megabytes long.
    path = url.partition("#")[0].partition("?")[0]
    return _IMAGE_TYPES.get(path[-5:].rpartition(".")[2].lower(), "image/*")
