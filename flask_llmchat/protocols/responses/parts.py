"""Content parts of chat completions as parts of an input item."""

from __future__ import annotations

from typing import Any

from ...core.errors import ChatError
from ...providers import Provider

_CACHE = "prompt_cache_breakpoint"  # the same field in both protocols


def input_parts(content: list[dict[str, Any]], row: Provider, place: str) -> list[dict[str, Any]]:
    """Return the parts of a message, or of a tool's result.

    :param place: where they are, for the error.
    :raises ChatError: with status 422, for a part that the protocol does not have.
    """
    return [_input_part(part, row, f"{place}.{i}") for i, part in enumerate(content)]


def _input_part(part: dict[str, Any], row: Provider, place: str) -> dict[str, Any]:
    kind = part.get("type")
    if kind in ("text", "refusal"):
        sent = {"type": "input_text", "text": part[kind]}
    elif kind == "image_url":
        image = part["image_url"]
        sent = {"type": "input_image", "image_url": image["url"]}
        sent["detail"] = image.get("detail") or "auto"
    elif kind == "file":
        sent = {"type": "input_file", **_file(part["file"])}
    else:
        raise ChatError(
            f"{place}.type: {row.label} is called by its Responses API here, which takes text,"
            f" image_url and file, not {str(kind)[:50]!r}",
            provider=row.name,
            status=422,
        )
    return {**sent, _CACHE: part[_CACHE]} if part.get(_CACHE) else sent


def _file(file: dict[str, Any]) -> dict[str, Any]:
    given = {name: file[name] for name in ("file_id", "file_url") if file.get(name)}
    if given:
        return given
    data = file["file_data"]
    is_pdf = data.startswith("data:application/pdf")
    name = file.get("filename") or ("document.pdf" if is_pdf else "file")  # it is required
    return {"filename": name, "file_data": data}


def text_in(content: Any) -> str:
    """Return the text of a message that may have nothing else: an assistant's, or a system's."""
    if content.__class__ is not list:
        return content or ""
    texts = (part.get("text") or part.get("refusal") for part in content)
    return "".join(text for text in texts if isinstance(text, str))
