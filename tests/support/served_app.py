"""The app that test_servers.py serves with real servers; it writes down how its chats end."""

from __future__ import annotations

import json
import os
import time

from flask import Flask, request

from flask_llmchat import ChatRequest, ChatResult, LLMChat, chat_finished

llmchat = LLMChat()
app = Flask(__name__)
app.config["LLMCHAT_BASE_URLS"] = {"openai": os.environ["UPSTREAM"]}
app.config.from_prefixed_env()
app.register_blueprint(llmchat.blueprint)


@llmchat.profile_loader
def load_profile() -> dict[str, str] | None:
    if "X-Nobody" in request.headers:
        return None
    return {"openai_api_key": "sk-planted-openai-0123456789abcdef"}


@app.before_request
def look_for_a_token() -> None:
    """Look into every form, as protections against forged requests do."""
    if "X-Protected" in request.headers:
        request.form.get("csrf_token")


@llmchat.before_chat
def count(chat: ChatRequest) -> None:
    with open(os.environ["BEGINNINGS"], "a", encoding="utf-8") as file:
        file.write(".")


@llmchat.tool(when=lambda chat: chat.model == "hangs")
def hang() -> None:
    """Hear nothing."""
    time.sleep(20)


@chat_finished.connect_via(app)
def write_down(sender: Flask, result: ChatResult) -> None:
    line = json.dumps({"outcome": result.outcome, "text": result.text})
    with open(os.environ["RESULTS"], "a", encoding="utf-8") as file:
        file.write(line + "\n")


@app.get("/health")
def health() -> str:
    return "ok"
