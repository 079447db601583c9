"""The conversation of ``flask llmchat chat``, in a terminal or with redirected input."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click

from ...core.errors import ChatError
from ...core.events import Event, ReasoningDelta, TextDelta
from ...core.request import Message
from ...core.result import ChatResult
from ...providers import Provider
from ..from_python import open_chat
from ..state import AppState

_CUT_OFF = {
    "length": "[cut off: the response has reached its token limit]",
    "content_filtered": "[cut off by the provider's content filter]",
}

# A model can be talked into writing the sequences that retitle or reprogram a terminal.
_CONTROLS = dict.fromkeys({*range(0x20), *range(0x7F, 0xA0)} - {ord("\n"), ord("\t")})


class Conversation:
    """A chat with one model, and its history.

    :param messages: what stands before the first question.
    :param parameters: the model, and further parameters of chat completions.
    """

    def __init__(
        self,
        state: AppState,
        provider: Provider,
        profile: Any,
        messages: list[Message],
        parameters: Mapping[str, Any],
    ) -> None:
        self._state = state
        self._provider = provider
        self._profile = profile
        self._messages = messages
        self._parameters = parameters

    def ask(self, question: str) -> bool:
        """Send a question and show the response as it comes, or the error.

        Ctrl-C stops the response. Text that has come stays in the history however the response
        ends; a question without any response is dropped, for many providers reject two user
        messages in a row.

        :return: whether the response is complete.
        """
        messages: list[Message] = [*self._messages, {"role": "user", "content": question}]
        screen = _Screen()
        result: ChatResult | None = None
        try:
            chat = open_chat(
                self._state, self._provider.name, messages, self._parameters, profile=self._profile
            )
            try:
                for event in chat:
                    screen.show(event)
            finally:
                chat.close()
                result = chat.result
        except KeyboardInterrupt:
            screen.end(interrupted=True)
            note("[stopped]")
        except ChatError as error:
            screen.end()
            key_env = self._provider.key_env if error.code == "missing_key" else None
            hint = f" For this command, set {key_env} in the environment." if key_env else ""
            click.secho(error.message + hint, fg="red", err=True)
        else:
            screen.end()
            _show_ending(chat.result)
        if result and result.text:
            self._messages = [*messages, {"role": "assistant", "content": result.text}]
        return result is not None and result.error is None


class _Screen:
    """Writes one response: text to stdout, reasoning to stderr if that is a terminal."""

    def __init__(self) -> None:
        self._reasoning = False
        self._last = "\n"

    def show(self, event: Event) -> None:
        if isinstance(event, TextDelta):
            if self._reasoning:
                self._reasoning = False
                click.echo(err=True)
            text = event.text.translate(_CONTROLS)
            self._last = text[-1:] or self._last
            click.echo(text, nl=False)
        elif isinstance(event, ReasoningDelta) and sys.stderr.isatty():
            self._reasoning = True
            click.secho(event.text.translate(_CONTROLS), dim=True, nl=False, err=True)

    def end(self, *, interrupted: bool = False) -> None:
        """End an unfinished line; the terminal itself has begun one with its ``^C``."""
        if self._last != "\n":
            click.echo()
        elif self._reasoning or (interrupted and sys.stderr.isatty()):
            click.echo(err=True)


def replace_bad_characters() -> None:
    """Write, and read, a question mark for characters that the terminal's encoding lacks."""
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(io.UnsupportedOperation):  # reading has begun
                stream.reconfigure(errors="replace")


def questions() -> Iterator[str]:
    """Yield the lines of the input that are not blank; in a terminal, with a prompt for each."""
    in_terminal = sys.stdin.isatty()
    has_editing = in_terminal and sys.stdout.isatty()
    if has_editing:
        with contextlib.suppress(ImportError):  # Windows
            import readline  # noqa: F401 - gives input() editing and a history
    while True:
        if has_editing:
            try:
                line = input("> ")
            except EOFError:
                break
        else:
            if in_terminal:  # the output goes to a file, which must not hold prompts
                click.echo("> ", nl=False, err=True)
            if not (line := sys.stdin.readline()):
                break
        if line := line.strip():
            yield line


def _show_ending(result: ChatResult) -> None:
    """Show what the text does not: that it is cut off or missing, and the token counts."""
    if result.outcome in _CUT_OFF:
        note(_CUT_OFF[result.outcome])
    elif not result.text:
        note("[the response has no text]")
    if (usage := result.usage) and sys.stderr.isatty():
        cached = f" ({usage.cached_tokens:,} cached)" if usage.cached_tokens else ""
        reasoning = f" ({usage.reasoning_tokens:,} reasoning)" if usage.reasoning_tokens else ""
        counts = f"{usage.prompt_tokens:,} tokens in{cached}, {usage.completion_tokens:,} out"
        note(f"[{counts}{reasoning}]")


def note(text: str) -> None:
    """Write a dim line to stderr."""
    click.secho(text, dim=True, err=True)
