"""``flask llmchat chat``: a chat in the terminal."""

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
from ...core.result import Usage
from ...protocols import ResponseParser, protocol_of
from ...providers.provider import Provider
from ...runs.admission import build_request
from ...runs.response_stream import ResponseStream
from ...transport.runtime import current_runtime
from ...transport.watchdog import CancelToken

if TYPE_CHECKING:
    from ..state import AppState


_ENDINGS = {
    "length": "[cut off: the answer has reached its token limit]",
    "content_filter": "[cut off by the provider's content filter]",
}


# A model can be talked into writing the sequences that retitle or reprogram a terminal.
_CONTROLS = dict.fromkeys({*range(0x20), *range(0x7F, 0xA0)} - {ord("\n"), ord("\t")})


class Conversation:
    """A chat with one model: what was said, and how the next question is asked.

    :param first: the chat before its first question.
    """

    def __init__(self, state: AppState, provider: Provider, first: ChatRequest) -> None:
        self._state = state
        self._provider = provider
        self._chat = first

    def ask(self, question: str) -> bool:
        """Ask, and show the answer as it comes, or why there is none; tell whether it came.

        Ctrl-C stops the answer. However it ends, what came of it is kept; a question without
        any is forgotten, for many providers refuse two questions in a row.
        """
        messages: list[Message] = [*self._chat.messages, {"role": "user", "content": question}]
        chat = replace(self._chat, messages=messages, request_id=uuid.uuid4().hex)
        reader = protocol_of(self._provider).parser(self._provider, passthrough=False)
        screen = _Screen()
        whole = False
        try:
            self._stream(chat, reader, screen)
            whole = True
        except KeyboardInterrupt:
            screen.end(interrupted=True)
            note("[stopped]")
        except ChatError as error:
            screen.end()
            missing = error.code == "missing_key"
            hint = f" Here it is the environment's {self._provider.key_env}." if missing else ""
            click.secho(error.message + hint, fg="red", err=True)
        else:
            screen.end()
            _tell_ending(reader)
        if answer := "".join(reader.totals().text):
            messages.append({"role": "assistant", "content": answer})
            self._chat = chat
        return whole

    def _stream(self, chat: ChatRequest, reader: ResponseParser, screen: _Screen) -> None:
        deadline = time.monotonic() + self._state.config.deadline
        request = build_request(self._state, self._provider, chat, deadline)
        cancel, watchdog = CancelToken(None, deadline), current_runtime().watchdog
        watchdog.add(cancel)
        try:
            self._show(ResponseStream(request, reader, cancel), screen)
        finally:
            watchdog.remove(cancel)

    def _show(self, stream: ResponseStream, screen: _Screen) -> None:
        try:
            while events := stream.read():
                for event in events:
                    screen.show(event)
        finally:
            stream.close()


class _Screen:
    """Writes one answer: its text to stdout, its thinking to stderr if that is a terminal."""

    def __init__(self) -> None:
        self._thinking = False
        self._last = "\n"

    def show(self, event: Event) -> None:
        if isinstance(event, TextDelta):
            if self._thinking:
                self._thinking = False
                click.echo(err=True)
            text = event.text.translate(_CONTROLS)
            self._last = text[-1:] or self._last
            click.echo(text, nl=False)
        elif isinstance(event, ReasoningDelta) and sys.stderr.isatty():
            self._thinking = True
            click.secho(event.text.translate(_CONTROLS), dim=True, nl=False, err=True)

    def end(self, *, interrupted: bool = False) -> None:
        """End the last line, where one is begun; the terminal has begun one with its ``^C``."""
        if self._last != "\n":
            click.echo()
        elif self._thinking or (interrupted and sys.stderr.isatty()):
            click.echo(err=True)


def forgive_bad_characters() -> None:
    """Show, or read, a question mark where the terminal's encoding has no such character."""
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(io.UnsupportedOperation):  # it is being read already
                stream.reconfigure(errors="replace")


def questions() -> Iterator[str]:
    """Give the lines that hold anything, up to the end of the input; prompt a terminal for them."""
    typed = sys.stdin.isatty()
    edited = typed and sys.stdout.isatty()
    if edited:
        with contextlib.suppress(ImportError):  # Windows
            import readline  # noqa: F401 - gives input() editing and a history
    while True:
        if edited:
            try:
                line = input("> ")
            except EOFError:
                break
        else:
            if typed:  # the answers go to a file, and a prompt is none of them
                click.echo("> ", nl=False, err=True)
            if not (line := sys.stdin.readline()):
                break
        if line := line.strip():
            yield line


def _tell_ending(reader: ResponseParser) -> None:
    """Say what the text does not show: that it is cut short or missing, and its cost."""
    if reader.finish_reason in _ENDINGS:
        note(_ENDINGS[reader.finish_reason])
    elif not reader.totals().text:
        note("[the answer holds no text]")
    if (usage := reader.totals().usage) and sys.stderr.isatty():
        note(_cost(usage))


def _cost(usage: Usage) -> str:
    cached = f" ({usage.cached_tokens:,} cached)" if usage.cached_tokens else ""
    reasoning = f" ({usage.reasoning_tokens:,} reasoning)" if usage.reasoning_tokens else ""
    counts = f"{usage.prompt_tokens:,} tokens in{cached}, {usage.completion_tokens:,} out"
    return f"[{counts}{reasoning}]"


def note(text: str) -> None:
    click.secho(text, dim=True, err=True)
