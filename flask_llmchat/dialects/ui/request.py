"""The request body of the ``ui`` dialect."""

from __future__ import annotations

import re
from typing import Any

import marshmallow as ma

from ..chat_settings import ChatBodySchema, SettingsSchema
from ..fields import StrictString
from ..schema import PresentFieldsNested
from .messages import UIMessages

MOST_PARTS_IN_ALL = 16_384
"""More than elsewhere: the steps of an answer, its sources and its tools are parts here, and no
schema reads them."""


_LOOKED_AT = 1024
"""How many messages, and parts of one, are looked at to tell whether they are UIMessages."""


# Looked for in names without their case, "_" and "-".
_SECRETIVE = re.compile(
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


class UIBodySchema(ChatBodySchema):
    """What the transports post. A page may add fields of its own, for the host's hooks."""

    class Meta:
        """Keeps fields it does not know out of what is loaded; hooks find them in ``raw``."""

        unknown = ma.EXCLUDE
        description = (
            "UIMessages, as the AI SDK's transports post them. Fields that are not listed are the"
            " page's own, for the app's hooks; one whose name is that of a key, an address or"
            " headers for the provider is refused."
        )

    chatSettings = PresentFieldsNested(
        SettingsSchema, required=True, error_messages={"required": _NO_SETTINGS}
    )
    messages = UIMessages(
        required=True,
        error_messages={"required": _NO_MESSAGES, "null": _NO_MESSAGES},
        metadata={
            "description": f"Oldest first; at most {MOST_PARTS_IN_ALL} parts in all, and"
            " something in them has to be fit to be sent to a model."
        },
    )
    id = StrictString(allow_none=True, metadata={"description": "The chat's id on the page."})
    trigger = StrictString(allow_none=True, metadata={"description": "Why the transport asks."})
    messageId = StrictString(
        allow_none=True, metadata={"description": "The message that is made anew."}
    )

    @ma.validates_schema(pass_original=True, skip_on_field_errors=False)
    def _holds_no_secret(
        self, data: dict[str, Any], original: dict[str, Any], **kwargs: Any
    ) -> None:
        found = [
            name
            for name in original
            if name not in self.fields and _SECRETIVE.match(re.sub(r"[\W_]", "", name[:99].lower()))
        ]
        if found:
            reason = "A key, an address or headers for the provider are not taken from a page."
            raise ma.ValidationError({name: [reason] for name in found})
