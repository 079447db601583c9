"""What stands inside a delta besides plain text: parts, reasoning, images, sources.

The same thing has many forms. Each function here knows those of one thing, and gives nothing
for what it does not know.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...core.errors import StreamErrorEvent
from ...core.limits import MOST_PARTS, MOST_SOURCES


def dicts(value: Any, most: int = MOST_PARTS) -> list[dict[str, Any]]:
    """Return the objects of a list; none for anything else.

    :raises ErrorChunk: when there are too many to go through.
    """
    return [item for item in listed(value, most) if item.__class__ is dict]


def listed(value: Any, most: int = MOST_PARTS) -> list[Any]:
    """Return a list; none for anything else.

    :raises ErrorChunk: when it is too long to go through.
    """
    if value.__class__ is not list:
        return []
    if len(value) > most:
        raise StreamErrorEvent({"detail": f"More than {most} items in one chunk are not read."})
    found: list[Any] = value
    return found


def pieces_in(delta: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the pieces of tool calls in a delta; a call in the form before them is one, too."""
    calls, before = delta.get("tool_calls"), delta.get("function_call")
    if isinstance(calls, dict) and calls:
        calls = [calls]
    if not calls and isinstance(before, dict) and before:
        return [{"index": 0, "function": before}]
    return dicts(calls)


def answer_in(part: Any) -> str:
    """Return what a part of a content list says to the user."""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict) or part.get("type") in ("reasoning", "thinking"):
        return ""
    found = part.get("text") or part.get("refusal") or transcript_in(part)
    return found if isinstance(found, str) else ""


def transcript_in(holder: dict[str, Any]) -> str:
    """Return what a sound says: it is text of the answer, for the sound is heard by few."""
    sound = holder.get("audio")
    text = (sound if isinstance(sound, dict) else holder).get("transcript")
    return text if isinstance(text, str) else ""


def reasoning_in(delta: dict[str, Any], parts: Any) -> Iterator[tuple[str, str]]:
    """Give each place for reasoning, and what stands there in this delta.

    :param parts: of its content.
    """
    for name in ("reasoning_content", "reasoning"):
        text = delta.get(name)
        yield name, text if isinstance(text, str) else ""
    yield "content", "".join([thought for part in dicts(parts) for thought in _thoughts(part)])
    details = dicts(delta.get("reasoning_details"))
    yield "reasoning_details", "".join([*_texts(details, "text"), *_texts(details, "summary")])


def _thoughts(part: dict[str, Any]) -> list[str]:
    thinking = part.get("thinking")
    if part.get("type") == "reasoning":
        thinking = part.get("text")
    if isinstance(thinking, str):
        return [thinking]
    texts = [text for text in listed(thinking) if isinstance(text, str)]
    return [*_texts(dicts(thinking), "text"), *texts]


def _texts(parts: list[dict[str, Any]], name: str) -> list[str]:
    return [part[name] for part in parts if isinstance(part.get(name), str)]


def images_in(parts: Any) -> Iterator[str]:
    """Give the URLs of the images among the parts of a content list."""
    for part in dicts(parts):
        kind = part.get("type")
        is_one = (isinstance(kind, str) and "image" in kind) or part.keys() & _IMAGE_HOLDERS
        if is_one and (url := image_url(part)):
            yield url


_IMAGE_HOLDERS = {"image_url", "image", "source", "inline_data", "inlineData"}


_URL_HOLDERS = ("url", "uri", "image_url", "file_uri")


_DATA_HOLDERS = ("b64_json", "data", "base64", "result")


_TYPE_HOLDERS = ("media_type", "mime_type", "mimeType", "mediaType")


def image_url(image: Any) -> str:
    """Return the URL of an image in whatever form, a ``data:`` one where its bytes are there."""
    if isinstance(image, str) and ":" not in image[:10]:
        return f"data:image/png;base64,{image}" if image else ""
    for _ in range(3):  # {"type": "image", "source": {"data": …}} and the like
        if not isinstance(image, dict):
            break
        data = next((image[n] for n in _DATA_HOLDERS if isinstance(image.get(n), str)), "")
        if data and not data.startswith(("data:", "http:", "https:")):
            names = (image[name] for name in _TYPE_HOLDERS if isinstance(image.get(name), str))
            return f"data:{next(names, 'image/png')};base64,{data}"
        held = (image[n] for n in (*_URL_HOLDERS, *sorted(_IMAGE_HOLDERS)) if image.get(n))
        image = data or next(held, "")
    if not isinstance(image, str) or (len(image) > _LONGEST_OTHER and not image.isascii()):
        return ""  # no URL: such a text takes four times its bytes
    return image


_LONGEST_OTHER = 2**13  # characters of a URL that is not ASCII


def url_in(page: Any) -> str:
    """Return the URL of a page that is named by its URL, or by an object that has it."""
    url = page.get("url") if isinstance(page, dict) else page
    return url if isinstance(url, str) else ""


def pages(holder: dict[str, Any]) -> list[Any]:
    """Return Perplexity's citations, with the titles that stand in its search results."""
    results = holder.get("search_results")
    found = dicts(results[:MOST_SOURCES]) if isinstance(results, list) else []
    by_url = {url_in(result): result for result in found}
    citations = holder.get("citations")
    if not isinstance(citations, list):
        return list(found)
    return [by_url.get(url_in(page), page) for page in citations[:MOST_SOURCES]]


def citation(annotation: dict[str, Any]) -> dict[str, Any]:
    """Return an annotation with its page where OpenAI's SDKs look for it.

    Some send it flat: ``{"type": "url_citation", "url": …, "title": …}``.
    """
    if isinstance(annotation.get("url_citation"), dict) or not url_in(annotation):
        return annotation
    page = {name: value for name, value in annotation.items() if name not in ("type", "index")}
    whole = {"start_index": 0, "end_index": 0, "title": "", **page}
    return {"type": "url_citation", "url_citation": whole}
