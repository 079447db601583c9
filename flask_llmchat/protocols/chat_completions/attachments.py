"""Images, annotations and sources: what a response has beside its text.

Providers send each in many forms. What none of the functions here recognises is left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from ...core.errors import StreamErrorEvent
from ...core.events import Event, Image, Source
from ...core.limits import MAX_IMAGES, MAX_SOURCES
from ..json_values import as_dicts, as_list, page_url

_IMAGE_FIELDS = {"image_url", "image", "source", "inline_data", "inlineData"}

_URL_FIELDS = ("url", "uri", "image_url", "file_uri", *sorted(_IMAGE_FIELDS), "file")

_DATA_FIELDS = ("b64_json", "data", "base64", "result", "file_data")

_TYPE_FIELDS = ("media_type", "mime_type", "mimeType", "mediaType")

_KNOWN_LISTS = (
    "content",
    "images",
    "tool_calls",
    "annotations",
    "reasoning_details",
    "citations",
)

_MAX_NOT_ASCII = 2**13  # characters of a URL that is not ASCII


class Attachments:
    """Collects them, each once, and puts them where clients look for them.

    :param passthrough: whether chunks are passed on; otherwise only events matter.
    :ivar sources: by URL, in the order they came.
    :ivar images: their URLs, in the order they came.
    """

    def __init__(self, passthrough: bool) -> None:
        self.sources: dict[str, Source] = {}
        self.images: dict[str, None] = {}
        self._passthrough = passthrough
        self._annotations: set[bytes] = set()  # digests

    def read_images(self, delta: dict[str, Any], parts: list[Any], events: list[Event]) -> bool:
        """Read the images of a delta, those among its content parts too.

        :return: whether the delta had to be changed.
        """
        given = delta.get("images")
        given = [given] if isinstance(given, dict | str) else given
        found: list[tuple[str, Any]] = [(_image_url(image), image) for image in as_list(given)]
        found += [(url, None) for url in _images_in(parts)]
        new = {url: image for url, image in found if url and url not in self.images}
        for url in new:
            self.images[url] = None
            events.append(Image(url))
        if len(self.images) > MAX_IMAGES:
            raise StreamErrorEvent({"detail": f"More than {MAX_IMAGES} images are not taken."})
        if all(map(_is_usual, new.values())):
            return _put(delta, "images", list(new.values()))
        return _put(
            delta, "images", [{"type": "image_url", "image_url": {"url": url}} for url in new]
        )

    def read_annotations(
        self, delta: dict[str, Any], parts: list[Any], events: list[Event]
    ) -> bool:
        """Read the annotations of a delta, those of its content parts too.

        :return: whether the delta had to be changed.
        """
        found = as_dicts(delta.get("annotations"))
        found += [a for part in as_dicts(parts) for a in as_dicts(part.get("annotations"))]
        self._add_sources([a.get("url_citation") or a for a in found], events)
        if not self._passthrough:
            return False
        new = []
        for annotation in map(_citation, found):
            named = {name: value for name, value in annotation.items() if name != "index"}
            key = hashlib.blake2b(json.dumps(named, sort_keys=True).encode()).digest()
            if key not in self._annotations and len(self._annotations) < MAX_SOURCES:
                self._annotations.add(key)
                new.append(annotation)
        return _put(delta, "annotations", new)

    def read_citations(self, holder: dict[str, Any], events: list[Event]) -> None:
        """Read Perplexity's citations, with the titles that its search results give them."""
        results = holder.get("search_results")
        pages: list[Any] = as_dicts(results[:MAX_SOURCES]) if isinstance(results, list) else []
        citations = holder.get("citations")
        if isinstance(citations, list):
            by_url = {_url_of(page): page for page in pages}
            pages = [by_url.get(_url_of(page), page) for page in citations[:MAX_SOURCES]]
        self._add_sources(pages, events)

    def _add_sources(self, pages: list[Any], events: list[Event]) -> None:
        for page in pages:
            url = _url_of(page)
            if url and url not in self.sources and len(self.sources) < MAX_SOURCES:
                title = page.get("title") if isinstance(page, dict) else ""
                self.sources[url] = source = Source(url, title if isinstance(title, str) else "")
                events.append(source)


def _images_in(parts: list[Any]) -> Iterator[str]:
    """Give the URLs of the images among content parts."""
    for part in as_dicts(parts):
        kind = part.get("type")
        is_image = (isinstance(kind, str) and "image" in kind) or part.keys() & _IMAGE_FIELDS
        url = _image_url(part)
        # A file is an image if its own media type, or that in its URL, is one.
        is_file = url.startswith("data:image/") or _media_type(part).startswith("image/")
        if url and (is_image or is_file):
            yield url


def other_parts(delta: dict[str, Any]) -> list[Any]:
    """Return the content parts that a delta has under a name of the provider's own."""
    found: list[Any] = []
    for name, value in delta.items():
        if name in ("image", "image_url") and value:
            found.append({"type": "image", name: value})
        elif value.__class__ is list and name not in _KNOWN_LISTS:
            found += value[: MAX_IMAGES - len(found)]
    return found[:MAX_IMAGES]


def _media_type(holder: dict[str, Any]) -> str:
    types = (holder[name] for name in _TYPE_FIELDS if isinstance(holder.get(name), str))
    return next(types, "")


def _image_url(image: Any) -> str:
    """Return the URL of an image in any form, a ``data:`` URL where its bytes are given."""
    if isinstance(image, str) and ":" not in image[:10]:
        return f"data:image/png;base64,{image}" if image else ""
    for _ in range(3):  # {"type": "image", "source": {"data": …}} and the like
        if not isinstance(image, dict):
            break
        data = next((image[n] for n in _DATA_FIELDS if isinstance(image.get(n), str)), "")
        if data and not data.startswith(("data:", "http:", "https:")):
            return f"data:{_media_type(image) or 'image/png'};base64,{data}"
        image = data or next((image[name] for name in _URL_FIELDS if image.get(name)), "")
    if not isinstance(image, str) or (len(image) > _MAX_NOT_ASCII and not image.isascii()):
        return ""  # not a URL, and such a text takes four times its bytes
    return image


def _is_usual(image: Any) -> bool:
    held = image.get("image_url") if isinstance(image, dict) else None
    return isinstance(held, dict) and isinstance(held.get("url"), str)


def _url_of(page: Any) -> str:
    """Return the URL of a page that is given as its URL, or as an object with a ``url``."""
    return page_url(page.get("url") if isinstance(page, dict) else page)


def _citation(annotation: dict[str, Any]) -> dict[str, Any]:
    """Return an annotation with its page where OpenAI's SDKs look for it.

    Some providers send it flat: ``{"type": "url_citation", "url": …, "title": …}``.
    """
    if isinstance(annotation.get("url_citation"), dict) or not _url_of(annotation):
        return annotation
    page = {name: value for name, value in annotation.items() if name not in ("type", "index")}
    whole = {"start_index": 0, "end_index": 0, "title": "", **page}
    return {"type": "url_citation", "url_citation": whole}


def _put(delta: dict[str, Any], name: str, items: list[Any]) -> bool:
    """Set a field of a delta to these items; return whether it held others."""
    given = delta.get(name)
    if given == items or not (given or items):
        return False
    delta[name] = items or None
    return True
