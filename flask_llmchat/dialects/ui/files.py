"""Converts file parts of the ``ui`` dialect to content parts of chat completions.

Files that providers do not accept in a chat are refused, and nothing is fetched.
"""

from __future__ import annotations

import binascii
import contextlib
import re
from base64 import b64encode
from typing import Any

import marshmallow as ma

from ..fields import is_encodable_text

_TEXTUAL = re.compile(
    r"text(/.*)?|application/([\w.-]+\+)?(json|xml|yaml)"
    r"|application/(x-)?(json|ndjson|yaml|toml|javascript|sql|sh)"
)

_IMAGE_TYPE = re.compile(r"image/[\w.+-]+")

_QUOTABLE = re.compile(r"[a-z]+/[\w.+-]{1,60}")

_AUDIO = {
    "audio/wav": "wav",
    "audio/wave": "wav",
    "audio/x-wav": "wav",
    "audio/mp3": "mp3",
    "audio/mpeg": "mp3",
}

# Browsers take media types from the system, which may not know that of a file.
_UNKNOWN_TYPES = frozenset({"", "application/octet-stream", "binary/octet-stream"})

# Texts to which systems give another type: application/vnd.ms-excel, video/mp2t, audio/x-mod, …
_TEXT_NAME = re.compile(
    r".*\.(c|cc|cfg|conf|cpp|cs|css|csv|cts|dart|diff|env|go|gradle|graphql|h|hpp|htm|html|ics|ini"
    r"|ipynb|java|jl|js|json|jsonl|jsx|kt|less|log|lua|m|markdown|md|mdx|mjs|mod|mts|ndjson|patch"
    r"|php|pl|properties|proto|ps1|py|r|rb|rs|rst|sass|scala|scss|sh|sql|srt|svelte|swift|tex|tf"
    r"|toml|ts|tsv|tsx|txt|vb|vtt|vue|xml|yaml|yml|zig)",
    re.IGNORECASE | re.DOTALL,
)

_NOT_IN_TEXTS = bytes({*range(32)} - {*b"\t\n\f\r\x1b"})

_NOT_IN_UTF8 = bytes([0xC0, 0xC1, *range(0xF5, 0x100)])

# How images begin; "." is any byte. Providers refuse an image whose type is wrong.
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

_IMAGES_BEGIN = frozenset({b"G", b"\x89", b"\xff", b"R", b"B", b"I", b"M", b"\0"})

# How other files begin, for those without a known type.
_OTHERS = [
    ("application/pdf", re.compile(rb"%PDF-")),
    ("audio/wav", re.compile(rb"RIFF....WAVE", re.DOTALL)),
    ("audio/mpeg", re.compile(rb"ID3")),
]

_MAX_HEAD = 1024  # characters before the comma of a data: URL

_MAX_STRAYS = 64  # characters in a data: URL that should be escaped, and are not

_STRAY = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def text_of(part: dict[str, Any], name: str) -> str:
    """Return a required text of a part.

    :raises marshmallow.ValidationError: when it is absent, or cannot be sent.
    """
    value = part.get(name)
    if value is None:
        raise ma.ValidationError(f"{name} is missing.")
    if not isinstance(value, str):
        raise ma.ValidationError(f"{name} is not a string.")
    if not is_encodable_text(value):
        raise ma.ValidationError(f"{name} holds half a character (a lone surrogate).")
    return value


def content_of(part: dict[str, Any]) -> dict[str, Any] | None:
    """Return the content part for a file part; None for an empty text.

    :raises marshmallow.ValidationError: with the reason why it cannot be sent.
    """
    if part.get("providerReference") is not None:
        raise ma.ValidationError("providerReference is not supported; send the file itself.")
    url = text_of(part, "url")
    scheme = url[:8].lower()
    if scheme.startswith("data:"):
        return _inline(part, url)
    if not scheme.startswith(("http://", "https://")):
        raise ma.ValidationError("url is not a data: or http(s) URL.")
    if _claimed_type(part).partition("/")[0] != "image":
        raise ma.ValidationError(
            "Only images may be http(s) URLs, as the server fetches no files; send a data: URL."
        )
    return _image(url)


def _inline(part: dict[str, Any], url: str) -> dict[str, Any] | None:
    url_type, encoded, content = _split(url)
    media_type = url_type or _claimed_type(part)
    if content[:1] in _IMAGES_BEGIN:
        media_type = next((name for name, head in _IMAGES if head.match(content)), media_type)
    if media_type in _UNKNOWN_TYPES:
        media_type = next((name for name, head in _OTHERS if head.match(content)), media_type)
    if _TEXTUAL.fullmatch(media_type):
        text = _text_of_file(content)
        return {"type": "text", "text": text} if text else None
    if not content:
        raise ma.ValidationError("The file is empty.")
    if encoded is None:
        encoded = b64encode(content).decode()
    if _IMAGE_TYPE.fullmatch(media_type):
        return _image(f"data:{media_type};base64,{encoded}")
    if media_type == "application/pdf":
        name = "document.pdf" if part.get("filename") is None else text_of(part, "filename")
        data = f"data:application/pdf;base64,{encoded}"
        return {"type": "file", "file": {"filename": name, "file_data": data}}
    if media_type in _AUDIO:
        audio = {"data": encoded, "format": _AUDIO[media_type]}
        return {"type": "input_audio", "input_audio": audio}
    if (decoded := _text_of_unknown(part, media_type, content)) is not None:
        return {"type": "text", "text": decoded}
    named = f" ({media_type})" if _QUOTABLE.fullmatch(media_type) else ""
    raise ma.ValidationError(f"Files of this type{named} cannot be sent to a model here.")


def _text_of_file(content: bytes) -> str:
    """Return the text of a file with a text type; invalid bytes are replaced."""
    if (text := _utf_16(content)) is not None:
        return text
    most = len(content) // 8 + _MAX_STRAYS
    if len(content) - len(content.translate(None, _NOT_IN_TEXTS + _NOT_IN_UTF8)) <= most:
        text = content.decode("utf-8-sig", "replace")
        if text.isascii():
            return text
        strays = text.count("\ufffd")
        marked = content.startswith(b"\xef\xbb\xbf")  # as UTF-8
        if strays and not marked and text.replace("\ufffd", "").isascii():
            return content.decode("cp1252", "replace")  # nothing in it is UTF-8: Windows' own code
        if strays <= most:
            return text
    raise ma.ValidationError("The file is not a text in UTF-8.")


def _utf_16(content: bytes) -> str | None:
    """Return the text of a file in UTF-16, which Windows programs call Unicode; None for others."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        with contextlib.suppress(UnicodeDecodeError):
            return content.decode("utf-16")
    return None


def _text_of_unknown(part: dict[str, Any], media_type: str, content: bytes) -> str | None:
    """Return the text of a file whose media type is unknown or wrong; None if it is not text."""
    name = part.get("filename")
    by_name = isinstance(name, str) and _TEXT_NAME.fullmatch(name[-100:])
    if not (by_name or media_type in _UNKNOWN_TYPES):
        return None
    if (text := _utf_16(content)) is not None:
        return text
    if len(content.translate(None, _NOT_IN_TEXTS)) < len(content):
        return None
    # Most Windows programs write cp1252. In latin-1 every byte is valid.
    for encoding in ("utf-8-sig", "cp1252", "latin-1") if by_name else ("utf-8-sig",):
        with contextlib.suppress(UnicodeDecodeError):
            return content.decode(encoding)
    return None


def _image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def _claimed_type(part: dict[str, Any]) -> str:
    return text_of(part, "mediaType").partition(";")[0].strip().lower()


def _split(url: str) -> tuple[str, str | None, bytes]:
    """Split a data: URL into media type, base64 content if there is any, and decoded content.

    Everything that scans characters runs in C, and builds no list of them.
    """
    begin = len("data:")
    comma = url.find(",", begin, begin + _MAX_HEAD)
    if comma < 0:
        raise ma.ValidationError("url is not a whole data: URL.")
    media_type, *parameters = [word.strip().lower() for word in url[begin:comma].split(";")]
    data = url[comma + 1 :]
    if "base64" not in parameters:
        content = _unescaped(data)
        return media_type, None, content
    try:
        return media_type, data, binascii.a2b_base64(data, strict_mode=True)
    except ValueError:
        # As lenient as browsers: they accept escapes, white space and missing padding.
        base64 = _unescaped(data).translate(_FROM_URL_SAFE, b" \t\n\v\f\r").rstrip(b"=")
        base64 += b"=" * (-len(base64) % 4)
    try:
        content = binascii.a2b_base64(base64, strict_mode=True)
    except ValueError:
        raise ma.ValidationError("url holds base64 that cannot be read.") from None
    return media_type, base64.decode(), content


def _unescaped(data: str) -> bytes:
    """Undo percent-encoding.

    urllib makes a list with an item for each "%". Quoted-printable is the same with another
    character, and is decoded in one step.
    """
    raw = data.encode()
    if b"\n" in raw or b"\r" in raw:  # not valid in a URL: browsers remove them
        raw = raw.translate(None, b"\t\n\r")
    escapes = raw.count(b"%")
    if not escapes:
        return raw
    if 3 * (escapes - _MAX_STRAYS) > len(raw):
        raise ma.ValidationError("url holds many % that are not escapes.")
    if raw.count(b"=") > len(raw) // 8 + _MAX_STRAYS:
        raise ma.ValidationError("url holds many = that should be %3D.")
    content = _unquoted(raw)
    if len(content) == len(raw) - 2 * escapes:  # each was an escape
        return content
    raw, strays = _STRAY.subn(b"%25", raw, _MAX_STRAYS + 1)
    if strays > _MAX_STRAYS:
        raise ma.ValidationError("url holds many % that are not escapes.")
    return _unquoted(raw)


def _unquoted(data: bytes) -> bytes:
    return binascii.a2b_qp(data.replace(b"=", b"%3D").replace(b"%", b"="))


_FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")
