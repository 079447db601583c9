"""The commands ``flask llmchat providers``, ``models`` and ``chat``."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator, Sequence
from copy import copy
from typing import TYPE_CHECKING

import click
from flask.cli import with_appcontext

from ...core.errors import ChatError
from ...core.profiles import Profile, is_set
from ...models import default_model, get_model, models_of
from ...providers import Provider, bearer_target
from ...providers.azure import azure_target
from ..hooks import Hooks
from ..missing import missing
from ..state import AppState, state_of
from .chat import Conversation, note, questions, replace_bad_characters

if TYPE_CHECKING:
    from ...extension import LLMChat


def make_commands(llmchat: LLMChat) -> list[click.Command]:
    """Return the commands of one instance, for its blueprint's ``cli`` group.

    :param llmchat: the instance; two instances in one app have two groups.
    """

    @click.command()
    @with_appcontext
    def providers() -> None:
        """List the providers that are served, and whether their keys are in the environment.

        What else the app needs and has not set stands below the list.
        """
        state = state_of(llmchat)
        profile = _profile(state)
        rows = [
            (row.name, row.label, _key(row, profile), _address(row, state, profile))
            for row in state.providers.values()
        ]
        _print_table(("PROVIDER", "LABEL", "KEY", "ADDRESS"), rows)
        for sentence in missing(state):
            click.secho(sentence, fg="yellow", err=True)

    @click.command()
    @click.argument("provider", required=False)
    @with_appcontext
    def models(provider: str | None) -> None:
        """List the models in the catalogue, of one PROVIDER or of all.

        Any other model can be used as well. SHUTDOWN is the last day of a model.
        """
        state = state_of(llmchat)
        chosen = [_find(state, provider)] if provider else state.providers.values()
        head = ("PROVIDER", "MODEL", "CONTEXT", "MAX OUTPUT", "TEMP.", "SHUTDOWN")
        for row in chosen:  # a table each: long names of one would widen the lines of all
            if rows := list(_model_lines(row, state)):
                _print_table(head, rows, right=(2, 3))
            else:
                click.echo(f"The catalogue lists no models of {row.name}: use any that it serves.")
            click.echo()

    @click.command()
    @click.argument("provider")
    @click.option("--model", help="The model to use; some providers have a default.")
    @click.option("--system", metavar="TEXT", help="A system message.")
    @click.option("--temperature", type=click.FloatRange(0, 2), help="From 0 to 2.")
    @with_appcontext
    def chat(
        provider: str, model: str | None, system: str | None, temperature: float | None
    ) -> None:
        """Chat with PROVIDER in the terminal; each line is a question.

        Keys come from the environment. The app's own hooks are not run: neither the profile
        loader, nor the key resolver, nor before_chat.

        Ctrl-C stops a response. At the prompt it ends the chat, and so does Ctrl-D.
        """
        state = state_of(llmchat)
        row = _find(state, provider)
        if row.public_only:
            raise click.BadParameter(
                f"{row.label} endpoints belong to users, and no user is logged in here.",
                param_hint="PROVIDER",
            )
        model = model or _default_model(row, state)
        # Without any handler, Python would write what is logged between the lines of the chat.
        logging.getLogger("flask_llmchat").addHandler(logging.NullHandler())
        replace_bad_characters()
        if sys.stdin.isatty():
            note(f"{row.label}, {model}. Ctrl-C stops a response, Ctrl-D ends the chat.")
        without_hooks = copy(state)
        without_hooks.hooks = Hooks()  # keys come from the profile alone
        conversation = Conversation(
            without_hooks,
            row,
            _profile(state),
            [{"role": "system", "content": system}] if system else [],
            {"model": model, "temperature": temperature},
        )
        complete = True
        with contextlib.suppress(KeyboardInterrupt):  # during a response, ask() handles it
            for question in questions():
                complete = conversation.ask(question)
        if sys.stdin.isatty():
            click.echo(err=True)  # puts the shell's prompt on a line of its own
        elif not complete:
            sys.exit(1)  # for scripts, which read no messages

    return [providers, models, chat]


def _profile(state: AppState) -> Profile:
    return Profile.from_env(providers=state.providers.values())


def _find(state: AppState, name: str) -> Provider:
    try:
        return state.provider_named(name)
    except ChatError as error:
        raise click.BadParameter(error.message, param_hint="PROVIDER") from None


def _default_model(provider: Provider, state: AppState) -> str:
    """Return the model to use without ``--model``.

    :raises click.UsageError: when there is none. Azure's deployments are the customer's own.
    """
    model = default_model(provider.catalogue, state.config.models.get(provider.name, ()))
    if model and provider.target is bearer_target:
        return model
    raise click.UsageError(f"{provider.label} has no default model: name one with --model.")


def _key(provider: Provider, profile: Profile) -> str:
    if provider.key_attr and is_set(profile, provider.key_attr):
        return f"{provider.key_env} set"
    if provider.key_attr and provider.key_required:
        return f"{provider.key_env} missing"
    return "needs none"


def _address(provider: Provider, state: AppState, profile: Profile) -> str:
    if url := state.config.base_urls.get(provider.name, provider.base_url):
        return str(provider.address(url))
    if provider.target is bearer_target:
        return "not set: LLMCHAT_BASE_URLS"
    if provider.public_only:
        return "set by the user"
    if provider.target is azure_target and not is_set(profile, "azure_openai_endpoint"):
        return "not set: AZURE_OPENAI_ENDPOINT missing"
    return "set by the profile"


def _model_lines(provider: Provider, state: AppState) -> Iterator[tuple[str, ...]]:
    own = state.config.models.get(provider.name, {})
    for name in {**models_of(provider.catalogue), **own}:
        model = get_model(provider.catalogue, name, own)
        rejected = "temperature" in provider.unsupported_params
        temperature = model.supports_temperature_at(None) and not rejected
        yield (
            provider.name,
            model.name,
            _count(model.context_window),
            _count(model.max_output),
            "yes" if temperature else "no",
            str(model.shutdown or ""),
        )


def _count(tokens: int | None) -> str:
    return "?" if tokens is None else f"{tokens:,}"


def _print_table(
    head: tuple[str, ...], rows: Sequence[tuple[str, ...]], right: tuple[int, ...] = ()
) -> None:
    """Print aligned columns; those in ``right`` are numbers. The last column is not padded."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for line in (head, *rows):
        sized = enumerate(zip(line, widths, strict=True))
        cells = [cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in sized]
        click.echo("  ".join(cells).rstrip())
