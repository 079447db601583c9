"""Images, annotations and sources: what stands beside the text of an answer."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ...core.errors import StreamErrorEvent
from ...core.events import Event, Image, Source
from ...core.limits import MOST_IMAGES, MOST_SOURCES
from .parts import citation, dicts, image_url, images_in, listed, url_in


class Attachments:
    """Reads them, each once, and puts them where clients look for them.

    :param passes_chunks: whether the chunks are passed on; else only events matter.
    :ivar sources: by URL, in the order they came.
    :ivar images: their URLs, in the order they came.
    """

    def __init__(self, passes_chunks: bool) -> None:
        self.sources: dict[str, Source] = {}
        self.images: dict[str, None] = {}
        self._passes_chunks = passes_chunks
        self._annotations: set[bytes] = set()  # digests

    def read_images(self, delta: dict[str, Any], parts: list[Any], events: list[Event]) -> bool:
        """Read the images of a delta, those among its content parts too.

        :return: whether the delta had to be changed.
        """
        given = delta.get("images")
        given = [given] if isinstance(given, dict | str) else given
        found: list[tuple[str, Any]] = [(image_url(image), image) for image in listed(given)]
        found += [(url, None) for url in images_in(parts)]
        new = {url: image for url, image in found if url and url not in self.images}
        for url in new:
            self.images[url] = None
            events.append(Image(url))
        if len(self.images) > MOST_IMAGES:
            raise StreamErrorEvent({"detail": f"More than {MOST_IMAGES} images are not taken."})
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
        found = dicts(delta.get("annotations"))
        found += [a for part in dicts(parts) for a in dicts(part.get("annotations"))]
        self.read_sources([a.get("url_citation") or a for a in found], events)
        if not self._passes_chunks:
            return False
        new = []
        for annotation in map(citation, found):
            named = {name: value for name, value in annotation.items() if name != "index"}
            key = hashlib.blake2b(json.dumps(named, sort_keys=True).encode()).digest()
            if key not in self._annotations and len(self._annotations) < MOST_SOURCES:
                self._annotations.add(key)
                new.append(annotation)
        return _put(delta, "annotations", new)

    def read_sources(self, pages: list[Any], events: list[Event]) -> None:
        """Read pages that the answer rests on."""
        for page in pages:
            url = url_in(page)
            if url and url not in self.sources and len(self.sources) < MOST_SOURCES:
                title = page.get("title") if isinstance(page, dict) else ""
                self.sources[url] = source = Source(url, title if isinstance(title, str) else "")
                events.append(source)


def _is_usual(image: Any) -> bool:
    held = image.get("image_url") if isinstance(image, dict) else None
    return isinstance(held, dict) and isinstance(held.get("url"), str)


def _put(delta: dict[str, Any], name: str, items: list[Any]) -> bool:
    """Have a delta hold these items; tell whether it held others."""
    given = delta.get(name)
    if given == items or not (given or items):
        return False
    delta[name] = items or None
    return True
