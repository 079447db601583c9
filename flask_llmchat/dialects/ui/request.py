"""The request body of the ``ui`` dialect."""

from __future__ import annotations

import re
from typing import Any

import marshmallow as ma

from ..chat_settings import ChatBodySchema, SettingsSchema, as_conversation_id
from ..fields import StrictString
from ..schema import PresentFieldsNested
from ..size import MAX_UI_PARTS
from .messages import UIMessages

# Matched against names in lower case, without "_" and "-".
_SECRET_NAME = re.compile(
    r".*(apikey|secret|password|authorization|bearer|credential|accesstoken|authtoken)"
    r"|.*(baseurl|apiurl|apibase|endpoint|endpointurl|headers)\Z"
    r"|(header|key|token|auth|url|uri|host|api|proxy)\Z",
    re.DOTALL,
)

# Doubled braces: marshmallow formats its messages.
_NO_SETTINGS = (
    "Missing data for required field. Send it as the transport's body:"
    " new DefaultChatTransport({{api, body: {{chatSettings: {{model}}}}}})."
)

_NO_MESSAGES = (
    "Missing data for required field. Send the whole conversation, or"
    " {{messages: [message]}} from prepareSendMessagesRequest for the last one alone."
)


class ChatId(ma.fields.Raw):
    """The id that the AI SDK gives a chat. One that no conversation can have counts as none."""

    def __init__(self) -> None:
        told = (
            "The chat's id in the client; other than a string of up to 256 characters it is none."
        )
        super().__init__(
            allow_none=True, attribute="conversation_id", metadata={"description": told}
        )

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str | None:
        return as_conversation_id(value)


class UIBodySchema(ChatBodySchema):
    """The body that the AI SDK's transports post. Clients may add fields for the app's hooks."""

    class Meta:
        """Leaves unknown fields out of what is loaded; hooks find them in ``raw``."""

        unknown = ma.EXCLUDE
        description = (
            "UIMessages, as the AI SDK's transports post them. Further fields are for the app's"
            " hooks; one with the name of a key, an address or headers for the provider is refused."
        )

    chatSettings = PresentFieldsNested(
        SettingsSchema, required=True, error_messages={"required": _NO_SETTINGS}
    )
    messages = UIMessages(
        required=True,
        error_messages={"required": _NO_MESSAGES, "null": _NO_MESSAGES},
        metadata={
            "description": f"Oldest first; at most {MAX_UI_PARTS} parts in all, and"
            " at least one that can be sent to a model."
        },
    )
    id = ChatId()
    trigger = StrictString(allow_none=True, metadata={"description": "Why the transport sends it."})
    messageId = StrictString(
        allow_none=True, metadata={"description": "The message to regenerate."}
    )

    @ma.validates_schema(pass_original=True, skip_on_field_errors=False)
    def _holds_no_secret(
        self, data: dict[str, Any], original: dict[str, Any], **kwargs: Any
    ) -> None:
        found = [
            name
            for name in original
            if name not in self.fields
            and _SECRET_NAME.match(re.sub(r"[\W_]", "", name[:99].lower()))
        ]
        if found:
            reason = "Keys, addresses and headers for the provider are not accepted from clients."
            raise ma.ValidationError({name: [reason] for name in found})
