"""The chat: one LLMChat, its loaders, and the page that talks to it."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, render_template, url_for
from flask.typing import ResponseReturnValue

from flask_llmchat import (
    ChatRequest,
    LLMChat,
    Provider,
    builtin_providers,
    current_llmchat,
    models_of,
)

from .database import db
from .demo import DEMO, DEMO_MODEL
from .login import logged_in_user, login_required
from .models import Profile
from .settings import is_azure

# Only rows that need nothing but a saved key: users' own endpoints would need a page to enter
# them, and local servers an address that only the operator knows.
_hosted = [row for row in builtin_providers if row.key_required and row.key_attr]
llmchat = LLMChat(providers=[DEMO, *_hosted])

PROMPT = "You are a friendly, helpful assistant. You may use Markdown."

blueprint = Blueprint("chat", __name__)


@llmchat.profile_loader
def load_profile() -> Profile | None:
    """Return the logged-in user's keys; None, which means 401, if there is no user."""
    user = logged_in_user()
    if user is None:
        return None
    profile = user.profile
    # Everything needed has been read. Without this the request would keep its database connection
    # until the first byte of the response, and a busy minute would use up the pool.
    db.session.close()
    if not is_azure(profile.azure_openai_endpoint or ""):  # saved when other domains were allowed
        profile.azure_openai_endpoint = None
    return profile


@llmchat.caller_loader
def load_caller(profile: Profile) -> str:
    """Return whose chat it is: only this user may read its response again, stop it, or approve."""
    return str(profile.user_id)


@llmchat.before_chat
def add_prompt(chat: ChatRequest) -> None:
    """Add a system message, unless the page has sent its own."""
    if chat.dialect == "ui" and chat.messages[0]["role"] != "system":
        chat.messages.insert(0, {"role": "system", "content": PROMPT})


@blueprint.get("/")
@blueprint.get("/chats/<name>")
@login_required
def page(name: str = "") -> ResponseReturnValue:
    """Show the chat page, with a new chat or a saved one.

    The page loads the messages itself: only history.py checks whose they are.
    """
    user = logged_in_user()
    assert user is not None  # because of login_required
    choices, first = offered(user.profile)
    return render_template("chat.html", choices=choices, first=first, name=name)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A provider as the page offers it.

    :param models: suggestions; any other name can be typed.
    :param model: the one that is selected first.
    :param ready: whether the user can chat with it now.
    """

    name: str
    label: str
    url: str
    models: list[str]
    model: str
    ready: bool


def offered(profile: Profile) -> tuple[list[Choice], Choice]:
    """Return the providers as a page offers them, and the one that is selected first."""
    choices = [_choice(provider, profile) for provider in current_llmchat.providers.values()]
    ready = [choice for choice in choices if choice.ready and choice.name != DEMO.name]
    return choices, (ready or choices)[0]


_FIRST_MODELS = {
    "openai": "gpt-6-luna",
    "openrouter": "openrouter/auto",
    "groq": "openai/gpt-oss-120b",
}


def _choice(provider: Provider, profile: Profile) -> Choice:
    models = list(models_of(provider.catalogue))
    if provider.name == "azure":  # only what the user has deployed can be called
        models = list(profile.azure_openai_deployments or {})
    elif provider.name == DEMO.name:
        models = [DEMO_MODEL]
    first = _FIRST_MODELS.get(provider.name, "")
    return Choice(
        name=provider.name,
        label=provider.label,
        url=url_for(f"{llmchat.blueprint.name}.{provider.name}"),
        models=models,
        model=first if first in models else next(iter(models), ""),
        ready=has_key(provider, profile),
    )


def has_key(provider: Provider, profile: Profile) -> bool:
    """Return whether a user can chat with a provider: has saved a key, or needs none."""
    return not provider.key_attr or bool(getattr(profile, provider.key_attr, None))
