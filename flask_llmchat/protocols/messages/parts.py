"""Content parts of messages, in the chat-completions form, as content blocks."""

from __future__ import annotations

import base64
import binascii
import re
import urllib.parse
from typing import Any

_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})

_TEXTS = re.compile(r"text/|application/(\w+\+)?(json|xml|yaml|x-yaml|javascript|toml)\b")

_DATA_URL = re.compile(r"data:([^;,]*)((?:;[^;,]*){0,8}),", re.IGNORECASE)


class Unsendable(Exception):
    """What the protocol or the model cannot be sent; its text names the field and says why."""


def block_of(part: dict[str, Any], *, citations: bool) -> dict[str, Any] | None:
    """Return the content block for a part; None for an empty text, which is refused.

    :param citations: whether the response may cite documents.
    :raises Unsendable: when there is none.
    """
    kind = part.get("type")
    block = None
    if kind in ("text", "refusal"):
        text = part.get(kind)
        if not isinstance(text, str) or not text.strip():
            return None
        block = {"type": "text", "text": text}
    elif kind == "image_url":
        block = _image(part["image_url"]["url"])
    elif kind == "file":
        block = _file(part["file"], citations)
    else:
        raise Unsendable(".type: This provider accepts text, images, PDF files and text files only")
    return marked(block, part)


def marked(block: dict[str, Any], holder: dict[str, Any]) -> dict[str, Any]:
    """Return a block with the mark of a part, a message or a tool up to which to cache."""
    mark = holder.get("cache_control")
    return {**block, "cache_control": mark} if isinstance(mark, dict) else block


def _image(url: str) -> dict[str, Any]:
    if url[:5].lower() != "data:":
        return {"type": "image", "source": {"type": "url", "url": url}}
    media_type, data = _split(url, ".image_url.url")
    return _image_of(media_type, data, ".image_url.url")


def _image_of(media_type: str, data: str, place: str) -> dict[str, Any]:
    media_type = "image/jpeg" if media_type == "image/jpg" else media_type
    if media_type not in _IMAGES:
        raise Unsendable(f"{place}: Images must be {', '.join(sorted(_IMAGES))}")
    source = {"type": "base64", "media_type": media_type, "data": data}
    return {"type": "image", "source": source}


def _file(file: dict[str, Any], citations: bool) -> dict[str, Any]:
    url = file.get("file_data")
    if not isinstance(url, str) or not url:
        raise Unsendable(".file.file_data: Missing; files are sent as data: URLs")
    place = ".file.file_data"
    media_type, data = _split(url, place)
    if media_type.startswith("image/"):
        return _image_of(media_type, data, place)
    if media_type == "application/pdf":
        source = {"type": "base64", "media_type": media_type, "data": data}
    elif _TEXTS.match(media_type):
        try:
            text = base64.b64decode(data).decode()
        except ValueError:
            raise Unsendable(f"{place}: Not a text in UTF-8") from None
        source = {"type": "text", "media_type": "text/plain", "data": text}
    else:
        raise Unsendable(f"{place}: Files must be PDF, text, or images")
    title = {"title": file["filename"]} if file.get("filename") else {}
    cited = {"citations": {"enabled": True}} if citations else {}
    return {"type": "document", "source": source, **title, **cited}


def _split(url: str, place: str) -> tuple[str, str]:
    """Return the media type and the base64 content of a data: URL."""
    head = _DATA_URL.match(url)
    if head is None:
        raise Unsendable(f"{place}: Not a data: URL")
    data = url[head.end() :]
    if not data:
        raise Unsendable(f"{place}: Empty")
    if ";base64" in head[2].lower():
        try:
            base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            raise Unsendable(f"{place}: Not valid base64") from None
    else:
        data = base64.b64encode(urllib.parse.unquote_to_bytes(data)).decode()
    return head[1].strip().lower() or "text/plain", data
