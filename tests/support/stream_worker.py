"""A worker of its own: writes a stream, or looks after other workers, and prints what happens.

``python -m tests.support.stream_worker URL LEASE write|watch``
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

if "--gevent" in sys.argv:
    from gevent import monkey

    monkey.patch_all()

from flask_llmchat.streams.base import Limits, Orphan, StreamInfo
from flask_llmchat.streams.redis_store.flusher import Timing
from flask_llmchat.streams.redis_store.store import RedisStore


def tell(**what: Any) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")  # whole lines, from any thread


def main() -> None:
    url, lease, does = sys.argv[1:4]
    timing = Timing(gather=0.01, beat=0.05, lease=float(lease))
    store = RedisStore(url, "test:", Limits(), timing)
    if does == "watch":

        def on_orphan(orphan: Orphan) -> None:
            tell(text=orphan.text, state=dict(orphan.state), id=orphan.info.id)

        store.watch(on_orphan)
        tell(watching=True)
        time.sleep(60)
    info = StreamInfo(
        owner="ada",
        request_id="r1",
        provider="openai",
        model="gpt",
        dialect="text",
        mimetype="text/plain",
        conversation="c1",
    )
    writer = store.open(info, lambda reason: tell(interrupted=reason))
    writer.update({"usage": 7})
    tell(id=info.id)
    number = 0
    while writer.interruption is None:
        writer.append(b"%d," % number, f"{number},")
        number += 1
        time.sleep(0.005)
    tell(claimed=writer.claim_end("ok"))
    writer.end()


main()
