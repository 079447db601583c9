"""The text of a response: its content parts and its transcripts."""

from __future__ import annotations

from typing import Any


def text_in(part: Any) -> str:
    """Return the text that a content part has for the user."""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict) or part.get("type") in ("reasoning", "thinking"):
        return ""
    text = part.get("text") or part.get("refusal") or transcript_in(part)
    return text if isinstance(text, str) else ""


def transcript_in(holder: dict[str, Any]) -> str:
    """Return the transcript of a sound: it is text of the response, for few clients play sound."""
    sound = holder.get("audio")
    text = (sound if isinstance(sound, dict) else holder).get("transcript")
    return text if isinstance(text, str) else ""
