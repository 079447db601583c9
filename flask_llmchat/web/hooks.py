"""The host's hooks: where they are kept, and the decorators that set them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

from ..core.request import ChatRequest
from ..core.result import Step
from ..tools import Tool
from .checks import MISSING, checked_hook
from .tools import add_tool

ProfileLoader = TypeVar("ProfileLoader", bound=Callable[[], Any])

CallerLoader = TypeVar("CallerLoader", bound=Callable[[Any], Any])

KeyResolver = TypeVar(
    "KeyResolver", bound=Callable[[str, Any], str | None] | Callable[[str, Any], Awaitable[Any]]
)

EndpointLoader = TypeVar("EndpointLoader", bound=Callable[[str], Any])

BeforeChat = TypeVar("BeforeChat", bound=Callable[[ChatRequest], Any])

BeforeStep = TypeVar("BeforeStep", bound=Callable[[ChatRequest, tuple[Step, ...]], Any])

ApprovalClaimer = TypeVar("ApprovalClaimer", bound=Callable[[str, float], Any])

ToolsLoader = TypeVar("ToolsLoader", bound=Callable[[ChatRequest], Any])

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(slots=True)
class Hooks:
    """The host's functions that one instance calls. Each may be ``async def``."""

    profile_loader: Callable[[], Any] | None = None
    caller_loader: Callable[[Any], Any] | None = None
    key_resolver: Callable[[str, Any], Any] | None = None
    endpoint_loader: Callable[[str], Any] | None = None
    before_chat: list[Callable[[ChatRequest], Any]] = field(default_factory=list)
    tools: dict[str, Tool] = field(default_factory=dict)
    approval_claimer: Callable[[str, float], Any] | None = None
    tools_loader: Callable[[ChatRequest], Any] | None = None
    before_step: list[Callable[[ChatRequest, tuple[Step, ...]], Any]] = field(default_factory=list)


class HookSetters:
    """The decorators of an instance, which set its hooks and tools."""

    hooks: Hooks

    def profile_loader(self, function: ProfileLoader = MISSING) -> ProfileLoader:
        """Set the function that returns the profile of the current user.

        It runs once per request, in its context, and may be ``async def``. It returns a
        :class:`Profile`, a mapping, or any object with these attributes. For None the response
        is 401.
        """
        self.hooks.profile_loader = checked_hook("profile_loader", function)
        return function

    def caller_loader(self, function: CallerLoader = MISSING) -> CallerLoader:
        """Set the function that says whose chat it is: ``(profile) -> Caller | str | None``.

        It runs once per chat, after the profile loader. A string is the id of a :class:`Caller`,
        None means nobody in particular. Hooks, tools and the result have what it returns.
        """
        self.hooks.caller_loader = checked_hook("caller_loader", function)
        return function

    def key_resolver(self, function: KeyResolver = MISSING) -> KeyResolver:
        """Set the function that returns the key: ``(provider_name, profile) -> str | None``.

        For keys that are kept elsewhere than in the profile. None means that there is no
        key. Note that for Azure the key is sent to the endpoint that the profile names.
        """
        self.hooks.key_resolver = checked_hook("key_resolver", function)
        return function

    def endpoint_loader(self, function: EndpointLoader = MISSING) -> EndpointLoader:
        """Set the function that returns a user's endpoint: ``(endpoint_id) -> Endpoint | None``.

        For the ``custom`` provider. The id comes from the browser: the function has to check
        that the endpoint belongs to the current user. For None the response is 404.
        """
        self.hooks.endpoint_loader = checked_hook("endpoint_loader", function)
        return function

    def before_chat(self, function: BeforeChat = MISSING) -> BeforeChat:
        """Add a function that sees every chat before its provider is called.

        ``(chat: ChatRequest) -> None``. It may change the chat, or refuse it with ``abort()`` or a
        :class:`ChatError`. To return anything is a TypeError, because in Flask a returned value
        refuses. It runs before the key is looked up, so it also sees chats that are never sent:
        count in ``chat_finished`` what was really sent. The functions run in the order in which
        they were added.
        """
        self.hooks.before_chat.append(checked_hook("before_chat", function))
        return function

    def before_step(self, function: BeforeStep = MISSING) -> BeforeStep:
        """Add a function that sees every further step of a chat with tools of the server.

        ``(chat: ChatRequest, steps: tuple[Step, ...]) -> None``. It is called before the model is
        called again, with the steps so far, in an app context and without a request. It may refuse
        the step with ``abort()`` or a :class:`ChatError`: the response then ends with that error.
        """
        self.hooks.before_step.append(checked_hook("before_step", function))
        return function

    def approval_claimer(self, function: ApprovalClaimer = MISSING) -> ApprovalClaimer:
        """Set the function that uses an approval of a tool call: ``(key, expires_at) -> bool``.

        It is called before a call runs that the user has approved, in an app context and without a
        request. It has to return True once for each ``key``, a string, and False from then on, in
        all processes: a row in a table with a unique column, say, which may be deleted after
        ``expires_at``, a Unix time in seconds, from which on no chat can ask for it. Without it
        every process remembers only those that it has used itself. When it fails, the call is not
        run.
        """
        self.hooks.approval_claimer = checked_hook("approval_claimer", function)
        return function

    @overload
    def tool(self, function: Function) -> Function: ...
    @overload
    def tool(self, function: None = None, **options: Any) -> Callable[[Function], Function]: ...
    def tool(self, function: Function | None = None, **options: Any) -> Any:
        """Let models call a function of the app; the server runs it.

        ::

            @llmchat.tool
            def find_orders(context: ToolContext, status: Literal["open", "sent"] = "open"):
                \"\"\"List the user's own orders, newest first.\"\"\"
                return [order.as_dict() for order in orders_of(context.profile.user, status)]

        Type hints and docstring tell the model how to call it. It runs with an app context of its
        own and without a request, in a thread or, if it is ``async``, on one event loop.

        :param options: those of :class:`Tool`: ``name``, ``when`` and others.
        :return: the function, unchanged.
        :raises TypeError: when the function cannot be a tool, saying what to write.
        :raises ValueError: for an invalid name, or one that another tool has.
        """
        if function is None:
            return lambda given: self.tool(given, **options)
        self.add_tools(Tool(function, **options))
        return function

    def add_tools(self, *tools: Tool) -> None:
        """Add tools that the server runs, at any time.

        :raises TypeError: for anything but a :class:`Tool`.
        :raises ValueError: when another tool has the name of one.
        """
        for tool in tools:
            add_tool(self.hooks.tools, tool, "add_tools")

    def tools_loader(self, function: ToolsLoader = MISSING) -> ToolsLoader:
        """Set the function that returns the tools of one chat: ``(chat) -> Iterable[Tool]``.

        For tools that are made from rows of the app's database. It runs in the request, before the
        ``before_chat`` hooks. What it returns is offered after the tools that are registered. A
        chat whose :attr:`ChatRequest.tool_ids` name a tool that it does not return is refused.
        """
        self.hooks.tools_loader = checked_hook("tools_loader", function)
        return function
