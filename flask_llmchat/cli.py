"""``flask llmchat …``: which providers are on, what models are known, and a chat with one.

All of it is for the operator at the server's own terminal: keys come from the environment,
and no hook of the host's is asked, for those may need a request or a user.
"""

from __future__ import annotations

import contextlib
import io
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import click
from flask import current_app
from flask.cli import with_appcontext

from .asking import prepare
from .chat import ChatRequest, Event, Message, ReasoningDelta, TextDelta, Usage
from .errors import ChatError
from .models import Model, catalogue_of, find, starter
from .profiles import Profile, is_set
from .providers import Provider, bearer_target
from .providers.azure import azure_target
from .providers.chunks import ChunkReader
from .upstream.stream import Stream

if TYPE_CHECKING:
    from .extension import LLMChat
    from .state import ChatState

_ENDINGS = {
    "length": "[cut off: the answer has reached its token limit]",
    "content_filter": "[cut off by the provider's content filter]",
}

# A model can be talked into writing the sequences that retitle or reprogram a terminal.
_CONTROLS = dict.fromkeys({*range(0x20), *range(0x7F, 0xA0)} - {ord("\n"), ord("\t")})


def make_commands(llmchat: LLMChat) -> list[click.Command]:
    """Make the commands of one instance, for its blueprint's ``cli`` group.

    :param llmchat: whose providers they show; two instances in one app have two groups.
    """

    @click.command()
    @with_appcontext
    def providers() -> None:
        """List the providers that are on, and whether their keys are in the environment."""
        state = _state_of(llmchat)
        profile = _profile(state)
        rows = [
            (row.name, row.label, _key(row, profile), _address(row, state, profile))
            for row in state.providers.values()
        ]
        _print_table(("PROVIDER", "LABEL", "KEY", "ADDRESS"), rows)

    @click.command()
    @click.argument("provider", required=False)
    @with_appcontext
    def models(provider: str | None) -> None:
        """List the models that are known, of one PROVIDER or of all.

        Any other model can be asked for just the same.
        """
        state = _state_of(llmchat)
        asked = [_find(state, provider)] if provider else state.providers.values()
        head = ("PROVIDER", "MODEL", "CONTEXT", "MAX OUTPUT", "TOKEN LIMIT", "TEMP.")
        for row in asked:  # a table each: some have names too long for all the others' lines
            if rows := list(_model_lines(row, state)):
                _print_table(head, rows, right=(2, 3))
            else:
                click.echo(f"No models are listed for {row.name}: name any that it serves.")
            click.echo()

    @click.command()
    @click.argument("provider")
    @click.option("--model", help="The model to ask; for some providers there is a default.")
    @click.option("--system", metavar="TEXT", help="A system prompt.")
    @click.option("--temperature", type=click.FloatRange(0, 2), help="From 0 to 2.")
    @with_appcontext
    def chat(
        provider: str, model: str | None, system: str | None, temperature: float | None
    ) -> None:
        """Chat with PROVIDER in the terminal, a line a question.

        Keys come from the environment. The app's own hooks are not run: neither the profile
        loader, nor the key resolver, nor what before_chat would change or refuse.

        Ctrl-C stops an answer. At the prompt it ends the chat, and so does Ctrl-D.
        """
        state = _state_of(llmchat)
        row = _find(state, provider)
        if row.public_only:
            raise click.BadParameter(
                f"{row.label} endpoints are the users' own, and here is none of them.",
                param_hint="PROVIDER",
            )
        first = ChatRequest(
            provider=row.name,
            model=model or _starter(row, state),
            messages=[{"role": "system", "content": system}] if system else [],
            temperature=temperature,
            profile=_profile(state),
        )
        _forgive_bad_characters()
        if sys.stdin.isatty():
            _note(f"{row.label}, {first.model}. Ctrl-C stops an answer, Ctrl-D ends the chat.")
        conversation = Conversation(_without_hooks(state), row, first)
        answered = True
        with contextlib.suppress(KeyboardInterrupt):  # while an answer comes, ask() takes it
            for question in _questions():
                answered = conversation.ask(question)
        if sys.stdin.isatty():
            click.echo(err=True)  # the shell's prompt comes on a line of its own
        elif not answered:
            sys.exit(1)  # for a script, which reads no sentences

    return [providers, models, chat]


class Conversation:
    """A chat with one model: what was said, and how the next question is asked.

    :param first: the chat before its first question.
    """

    def __init__(self, state: ChatState, provider: Provider, first: ChatRequest) -> None:
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
        reader = ChunkReader(inline_think=self._provider.inline_think)
        screen = _Screen()
        whole = False
        try:
            self._stream(chat, reader, screen)
            whole = True
        except KeyboardInterrupt:
            screen.end(interrupted=True)
            _note("[stopped]")
        except ChatError as error:
            screen.end()
            missing = error.code == "missing_key"
            hint = f" Here it is the environment's {self._provider.key_env}." if missing else ""
            click.secho(error.message + hint, fg="red", err=True)
        else:
            screen.end()
            _tell_ending(reader)
        if answer := "".join(reader.text):
            messages.append({"role": "assistant", "content": answer})
            self._chat = chat
        return whole

    def _stream(self, chat: ChatRequest, reader: ChunkReader, screen: _Screen) -> None:
        deadline = time.monotonic() + self._state.config.deadline
        stream = Stream(prepare(self._state, self._provider, chat, deadline), reader)
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


def _state_of(llmchat: LLMChat) -> ChatState:
    states: dict[str, ChatState] = current_app.extensions["llmchat"]
    return next(state for state in states.values() if state.llmchat is llmchat)


def _without_hooks(state: ChatState) -> ChatState:
    """Return a state of the same settings whose keys come from the profile alone."""
    state = copy(state)
    state.llmchat = copy(state.llmchat)
    state.llmchat._key_resolver = None
    return state


def _profile(state: ChatState) -> Profile:
    return Profile.from_env(providers=state.providers.values())


def _find(state: ChatState, name: str) -> Provider:
    if name in state.providers:
        return state.providers[name]
    raise click.BadParameter(
        f"There is no {name!r}; there are {', '.join(state.providers)}.", param_hint="PROVIDER"
    )


def _starter(provider: Provider, state: ChatState) -> str:
    """Return the model to ask when none is named.

    :raises click.UsageError: when there is none to know. Azure's are the customer's own.
    """
    model = starter(provider.catalogue, state.config.models.get(provider.name, ()))
    if model and provider.target is bearer_target:
        return model
    raise click.UsageError(f"{provider.label} has no default model here: name one with --model.")


def _key(provider: Provider, profile: Profile) -> str:
    if provider.key_attr and is_set(profile, provider.key_attr):
        return f"{provider.key_env} set"
    if provider.key_attr and provider.key_required:
        return f"{provider.key_env} missing"
    return "needs none"


def _address(provider: Provider, state: ChatState, profile: Profile) -> str:
    if url := state.config.base_urls.get(provider.name, provider.base_url):
        return str(provider.address(url))
    if provider.target is bearer_target:
        return "not set: LLMCHAT_BASE_URLS"
    if provider.public_only:
        return "set by the user"
    if provider.target is azure_target and not is_set(profile, "azure_openai_endpoint"):
        return "not set: AZURE_OPENAI_ENDPOINT missing"
    return "set by the profile"


def _catalogue(provider: Provider, state: ChatState) -> list[Model]:
    own = state.config.models.get(provider.name, {})
    names = {**catalogue_of(provider.catalogue), **own}
    return [find(provider.catalogue, name, own) for name in names]


def _model_lines(provider: Provider, state: ChatState) -> Iterator[tuple[str, ...]]:
    for model in _catalogue(provider, state):
        limit = model.token_param or provider.token_param
        takes = model.takes_temperature_at(None) and "temperature" not in provider.refuses
        yield (
            provider.name,
            model.name,
            _count(model.context_window),
            _count(model.max_output),
            provider.renames.get(limit, limit),
            "yes" if takes else "no",
        )


def _count(tokens: int | None) -> str:
    return "?" if tokens is None else f"{tokens:,}"


def _print_table(
    head: tuple[str, ...], rows: Sequence[tuple[str, ...]], right: tuple[int, ...] = ()
) -> None:
    """Print aligned columns; those in ``right`` are numbers. The last one is not padded."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for line in (head, *rows):
        sized = enumerate(zip(line, widths, strict=True))
        cells = [cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in sized]
        click.echo("  ".join(cells).rstrip())


def _forgive_bad_characters() -> None:
    """Show, or read, a question mark where the terminal's encoding has no such character."""
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(io.UnsupportedOperation):  # it is being read already
                stream.reconfigure(errors="replace")


def _questions() -> Iterator[str]:
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


def _tell_ending(reader: ChunkReader) -> None:
    """Say what the text does not show: that it is cut short or missing, and its cost."""
    if reader.finish_reason in _ENDINGS:
        _note(_ENDINGS[reader.finish_reason])
    elif not reader.text:
        _note("[the answer holds no text]")
    if (usage := reader.usage) and sys.stderr.isatty():
        _note(_cost(usage))


def _cost(usage: Usage) -> str:
    cached = f" ({usage.cached_tokens:,} cached)" if usage.cached_tokens else ""
    reasoning = f" ({usage.reasoning_tokens:,} reasoning)" if usage.reasoning_tokens else ""
    counts = f"{usage.prompt_tokens:,} tokens in{cached}, {usage.completion_tokens:,} out"
    return f"[{counts}{reasoning}]"


def _note(text: str) -> None:
    click.secho(text, dim=True, err=True)
