"""Endpoints that the app's users bring along: any address that offers chat completions.

They are not trusted. Requests go to public addresses only, and carry no key but the endpoint's
own; the endpoint's error messages never reach the browser.
"""

from __future__ import annotations

from ..core.addresses import read_address
from ..core.errors import ChatError
from ..core.keys import clean_key, is_header_safe
from ..core.request import ChatRequest, Endpoint
from .provider import Provider
from .target import Target


def endpoint_target(provider: Provider, chat: ChatRequest, key: str, base_url: str) -> Target:
    """Return the target for the endpoint that the app has loaded for this chat.

    :raises ChatError: when there is none, or its address or key is not valid.
    """
    endpoint = chat.endpoint
    if not isinstance(endpoint, Endpoint):
        raise ChatError("Endpoint not found", "model_not_found", provider=provider.name)
    key = clean_key(endpoint.api_key)
    try:
        address = read_address(endpoint.base_url)
    except ValueError as error:
        raise ChatError(
            f"The endpoint's address {error}. Please fix it.", provider=provider.name
        ) from None
    if not is_header_safe(key):
        raise ChatError.of("bad_key", provider.label, provider=provider.name)
    return Target(
        base_url=address.url,
        model=endpoint.model or chat.model,
        headers={"Authorization": f"Bearer {key}"} if key else {},
        query=address.query,
    )


SERVER_PARAMS = frozenset(
    {
        "guided_json",
        "guided_regex",
        "guided_choice",
        "guided_grammar",
        "structured_outputs",
        "min_tokens",
        "stop_token_ids",
        "ignore_eos",
        "include_reasoning",
        "length_penalty",
        "skip_special_tokens",
        "continue_final_message",
        "add_generation_prompt",
        "modalities",
    }
)
"""Parameters of vLLM and similar servers."""

CUSTOM = Provider(
    name="custom",
    label="Custom",
    key_attr="",
    # Everything that a gateway may accept: the endpoint itself rejects what it does not.
    extra_params=SERVER_PARAMS | {"image_config"},
    extra_message_fields=frozenset({"prefix", "partial"}),
    extra_parts=frozenset({"audio_url", "thinking"}),
    replay_by_model=True,
    expose_errors=False,
    public_only=True,
    target=endpoint_target,
)
