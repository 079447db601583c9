"""A stream holds nothing of the host's database."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from pathlib import Path

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.pool import QueuePool

from flask_llmchat import LLMChat
from flask_llmchat.testing import HOLD, FakeUpstream, text_reply
from tests.support.apps import KEYS, body, make_app
from tests.support.servers import served


def test_a_pool_of_one_connection_serves_many_streams(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    db = SQLAlchemy()
    llmchat = LLMChat()

    class User(db.Model):  # type: ignore[name-defined, misc]
        id = db.Column(db.Integer, primary_key=True)
        openai_api_key = db.Column(db.String)

    @llmchat.profile_loader
    def load_profile() -> User:
        user: User = db.session.get(User, 1)
        return user

    pool = {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0, "pool_timeout": 0.5}
    config = {
        "SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp_path / 'users.db'}",
        "SQLALCHEMY_ENGINE_OPTIONS": pool,
    }
    app = make_app(upstream, llmchat=llmchat, config=config)
    db.init_app(app)
    with app.app_context():
        db.create_all()
        db.session.add(User(id=1, openai_api_key=KEYS["openai_api_key"]))
        db.session.commit()
        engine = db.engine
    upstream.add(*[text_reply("Hi", finish_reason=None, usage=None, then=[HOLD])] * 5)
    with served(app) as port:
        chats = [http.client.HTTPConnection("127.0.0.1", port, timeout=5) for _ in range(5)]
        for chat in chats:
            chat.request("POST", "/api/chat/openai", json.dumps(body()))
            response = chat.getresponse()
            assert (response.status, response.read(2)) == (200, b"Hi")
        assert engine.pool.checkedout() == 0
        for chat in chats:
            with closing(chat):
                pass
        upstream.wait_for(lambda u: u.streaming == 0, timeout=5)
    engine.dispose()
