"""File parts of the ``ui`` dialect, as content parts of chat completions.

What a provider could not read in a chat is refused, and nothing is fetched for it.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64encode
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import marshmallow as ma

from .base import is_whole

_TEXTUAL = re.compile(
    r"text(/.*)?|application/([\w.-]+\+)?(json|xml|yaml)"
    r"|application/(x-)?(json|ndjson|yaml|toml|javascript|sql|sh)"
)
_IMAGE_TYPE = re.compile(r"image/[\w.+-]+")
_TELLABLE = re.compile(r"[a-z]+/[\w.+-]{1,60}")
_AUDIO = {
    "audio/wav": "wav",
    "audio/wave": "wav",
    "audio/x-wav": "wav",
    "audio/mp3": "mp3",
    "audio/mpeg": "mp3",
}

# How images begin; "." is any byte. Providers refuse one that is not what it says it is.
_IMAGES = [
    ("image/gif", re.compile(rb"GIF8[79]a")),
    ("image/png", re.compile(rb"\x89PNG")),
    ("image/jpeg", re.compile(rb"\xff\xd8")),
    ("image/webp", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ("image/bmp", re.compile(rb"BM....\0\0\0\0", re.DOTALL)),
    ("image/tiff", re.compile(rb"II\*\0|MM\0\*")),
    ("image/avif", re.compile(rb"\0\0\0.ftypavif", re.DOTALL)),
    ("image/heic", re.compile(rb"\0\0\0.ftypheic", re.DOTALL)),
]


def text_of(part: dict[str, Any], name: str) -> str:
    """Return a text that has to be in a part.

    :raises marshmallow.ValidationError: when it is not there, or cannot be sent.
    """
    value = part.get(name)
    if value is None:
        raise ma.ValidationError(f"{name} is missing.")
    if not isinstance(value, str):
        raise ma.ValidationError(f"{name} is not a string.")
    if not is_whole(value):
        raise ma.ValidationError(f"{name} holds half a character (a lone surrogate).")
    return value


def content_of(part: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a file part is in a message; None for an empty text.

    :raises marshmallow.ValidationError: saying why it cannot be sent.
    """
    if part.get("providerReference") is not None:
        raise ma.ValidationError("providerReference is not taken; send the file itself.")
    url = text_of(part, "url")
    scheme = url[:8].lower()
    if scheme.startswith("data:"):
        return _inline(part, url)
    if not scheme.startswith(("http://", "https://")):
        raise ma.ValidationError("url is not a data: or http(s) URL.")
    if _claimed_type(part).partition("/")[0] != "image":
        raise ma.ValidationError(
            "Only images may be http(s) URLs, for nothing is fetched here; send a data: URL."
        )
    return _image(url)


def _inline(part: dict[str, Any], url: str) -> dict[str, Any] | None:
    own_type, encoded, content = _split(url)
    media_type = own_type or _claimed_type(part)
    media_type = next((name for name, head in _IMAGES if head.match(content)), media_type)
    if _TEXTUAL.fullmatch(media_type):
        text = content.decode("utf-8-sig", "replace")
        return {"type": "text", "text": text} if text else None
    if not content:
        raise ma.ValidationError("The file is empty.")
    if _IMAGE_TYPE.fullmatch(media_type):
        return _image(f"data:{media_type};base64,{encoded}")
    if media_type == "application/pdf":
        name = "document.pdf" if part.get("filename") is None else text_of(part, "filename")
        data = f"data:application/pdf;base64,{encoded}"
        return {"type": "file", "file": {"filename": name, "file_data": data}}
    if media_type in _AUDIO:
        audio = {"data": encoded, "format": _AUDIO[media_type]}
        return {"type": "input_audio", "input_audio": audio}
    told = f" ({media_type})" if _TELLABLE.fullmatch(media_type) else ""
    raise ma.ValidationError(f"Files of this type{told} cannot be sent to a model here.")


def _image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def _claimed_type(part: dict[str, Any]) -> str:
    return text_of(part, "mediaType").partition(";")[0].strip().lower()


def _split(url: str) -> tuple[str, str, bytes]:
    """Split a data: URL into the type it names, its content in base64, and its content."""
    head, comma, data = url[len("data:") :].partition(",")
    if not comma:
        raise ma.ValidationError("url is not a whole data: URL.")
    media_type, *parameters = [word.strip().lower() for word in head.split(";")]
    if "base64" not in parameters:
        content = unquote_to_bytes(data)
        return media_type, b64encode(content).decode(), content
    try:
        return media_type, data, binascii.a2b_base64(data, strict_mode=True)
    except ValueError:
        # As lenient as browsers are: they take escapes, white space and no padding.
        data = "".join(unquote(data).split()).rstrip("=").translate(_FROM_URL_SAFE)
        data += "=" * (-len(data) % 4)
    try:
        return media_type, data, binascii.a2b_base64(data, strict_mode=True)
    except ValueError:
        raise ma.ValidationError("url holds base64 that cannot be read.") from None


_FROM_URL_SAFE = str.maketrans("-_", "+/")
