"""The conversation of ``flask llmchat chat``, in a terminal or with redirected input."""

from __future__ import annotations

import contextlib
import io
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from ...core.errors import ChatError
from ...core.events import Event, ReasoningDelta, TextDelta
from ...core.request import ChatRequest, Message
from ...protocols import ResponseParser, Totals, protocol_of
from ...providers import Provider
from ...runs.admission import build_request
from ...runs.response_stream import ResponseStream
from ...transport.runtime import current_runtime
from ...transport.watchdog import CancelToken

if TYPE_CHECKING:
    from ..state import AppState

_CUT_OFF = {
    "length": "[cut off: the response has reached its token limit]",
    "content_filter": "[cut off by the provider's content filter]",
}

# A model can be talked into writing the sequences that retitle or reprogram a terminal.
_CONTROLS = dict.fromkeys({*range(0x20), *range(0x7F, 0xA0)} - {ord("\n"), ord("\t")})


class Conversation:
    """A chat with one model, and its history.

    :param first: the request before its first question.
    """

    def __init__(self, state: AppState, provider: Provider, first: ChatRequest) -> None:
        self._state = state
        self._provider = provider
        self._chat = first

    def ask(self, question: str) -> bool:
        """Send a question and show the response as it comes, or the error.

        Ctrl-C stops the response. Text that has come stays in the history however the response
        ends; a question without any response is dropped, for many providers reject two user
        messages in a row.

        :return: whether the response is complete.
        """
        messages: list[Message] = [*self._chat.messages, {"role": "user", "content": question}]
        chat = replace(self._chat, messages=messages, request_id=uuid.uuid4().hex)
        parser = protocol_of(self._provider).parser(self._provider, passthrough=False)
        screen = _Screen()
        complete = False
        try:
            self._stream(chat, parser, screen)
            complete = True
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
            _show_ending(parser.totals())
        if text := "".join(parser.totals().text):
            messages.append({"role": "assistant", "content": text})
            self._chat = chat
        return complete

    def _stream(self, chat: ChatRequest, parser: ResponseParser, screen: _Screen) -> None:
        deadline = time.monotonic() + self._state.config.deadline
        request = build_request(self._state, self._provider, chat, deadline)
        cancel, watchdog = CancelToken(None, deadline), current_runtime().watchdog
        watchdog.add(cancel)
        try:
            with contextlib.closing(ResponseStream(request, parser, cancel)) as stream:
                while events := stream.read():
                    for event in events:
                        screen.show(event)
        finally:
            watchdog.remove(cancel)


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


def _show_ending(totals: Totals) -> None:
    """Show what the text does not: that it is cut off or missing, and the token counts."""
    if totals.finish_reason in _CUT_OFF:
        note(_CUT_OFF[totals.finish_reason])
    elif not totals.text:
        note("[the response has no text]")
    if (usage := totals.usage) and sys.stderr.isatty():
        cached = f" ({usage.cached_tokens:,} cached)" if usage.cached_tokens else ""
        reasoning = f" ({usage.reasoning_tokens:,} reasoning)" if usage.reasoning_tokens else ""
        counts = f"{usage.prompt_tokens:,} tokens in{cached}, {usage.completion_tokens:,} out"
        note(f"[{counts}{reasoning}]")


def note(text: str) -> None:
    """Write a dim line to stderr."""
    click.secho(text, dim=True, err=True)
