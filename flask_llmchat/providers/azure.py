"""Azure OpenAI: each customer has an endpoint and names deployments instead of models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from ..core.addresses import read_address
from ..core.errors import ChatError
from ..core.profiles import read, read_text
from ..core.request import ChatRequest
from .provider import Provider
from .target import Target

# The newest dated version that is not a preview. A profile may name another.
# https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle
_API_VERSION = "2024-10-21"

# stream_options came with this version; older ones reject unknown parameters with 400.
_FIRST_WITH_STREAM_OPTIONS = "2024-09-01"

# What may follow a resource's own address. The model decides the deployment.
_DEPLOYMENTS = re.compile(r"/openai(?:/deployments(?:/[^/]*)?)?$")

# A token of Microsoft Entra ID is a JWT; the API key of a resource has no dots.
_ENTRA_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")

_SET_BY = (
    "azure_openai_endpoint (in the environment AZURE_OPENAI_ENDPOINT) says where the resource is,"
    " and azure_openai_deployments, a mapping, which deployment serves a model."
)

# The attributes of chatbot-ui, from before a profile could name any deployment.
_DEPLOYMENT_ATTRIBUTES = {
    "gpt-3.5-turbo": "azure_openai_35_turbo_id",
    "gpt-4-turbo-preview": "azure_openai_45_turbo_id",
    "gpt-4-vision-preview": "azure_openai_45_vision_id",
}


def azure_target(provider: Provider, chat: ChatRequest, key: str, base_url: str) -> Target:
    """Return the target for the deployment, in one of Azure's two forms.

    An endpoint that ends in ``/openai/v1`` gets the deployment's name as the model and no API
    version; any other gets the dated form, ``/openai/deployments/NAME/…``, a part of which the
    endpoint may have already: the portal shows whole addresses to copy. Only chat completions has
    the dated form.

    :param key: the resource's API key, or a token of Microsoft Entra ID.
    :raises ChatError: when the profile lacks the endpoint or a deployment for the model.
    """
    deployment = _deployment(provider, chat)
    endpoint = base_url or read_text(chat.profile, "azure_openai_endpoint")
    if not (endpoint and deployment):
        lacks = "name of the deployment" if endpoint else "azure_openai_endpoint"
        raise ChatError(
            "Azure resources not found",
            provider=provider.name,
            detail=f"the profile has no {lacks}; {_SET_BY}",
        )
    try:
        address = read_address(endpoint)
    except ValueError as error:
        raise ChatError(
            f"Azure OpenAI endpoint {error}. Please fix it in your profile settings.",
            provider=provider.name,
        ) from None
    if _ENTRA_TOKEN.fullmatch(key):
        headers = {**provider.headers, "Authorization": f"Bearer {key}"}
    else:
        headers = {**provider.headers, "api-key": key}
    resource = _DEPLOYMENTS.sub("", address.url)
    is_new = address.url.endswith("/openai/v1")
    if is_new or provider.protocol == "responses":  # which the dated form does not have
        return Target(
            base_url=address.url if is_new else f"{resource}/openai/v1",
            model=deployment,
            headers=headers,
            query=address.query if is_new else {},
        )
    version = (
        read_text(chat.profile, "azure_openai_api_version") or address.api_version or _API_VERSION
    )
    return Target(
        base_url=f"{resource}/openai/deployments/{quote(deployment, safe='')}",
        model=deployment,
        headers=headers,
        query={"api-version": version},
        supports_stream_usage=version >= _FIRST_WITH_STREAM_OPTIONS,
    )


def _deployment(provider: Provider, chat: ChatRequest) -> str:
    deployments = read(chat.profile, "azure_openai_deployments")
    if isinstance(deployments, Mapping) and chat.model in deployments:
        return str(deployments[chat.model] or "").strip()
    if chat.model not in _DEPLOYMENT_ATTRIBUTES:
        raise ChatError(
            "Model not found",
            "model_not_found",
            status=400,
            provider=provider.name,
            detail=f"the profile has no deployment for the model; {_SET_BY}",
        )
    return read_text(chat.profile, _DEPLOYMENT_ATTRIBUTES[chat.model])


AZURE = Provider(
    name="azure",
    label="Azure OpenAI",
    key_attr="azure_openai_api_key",
    catalogue="openai",
    protocol=None,
    protocols={"chat_completions": "", "responses": ""},
    max_tokens_param="max_completion_tokens",  # nearly all deployments reason today
    supports_developer_role=True,
    target=azure_target,
)
