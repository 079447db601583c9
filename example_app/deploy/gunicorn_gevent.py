"""gunicorn with gevent, behind nginx.conf: all the chats of a process in one thread.

For many hundred chats at once, in less memory. Code that blocks without yielding to gevent (a
database driver in C, a long computation) stalls every chat of its process. It needs
``pip install gevent packaging``::

    gunicorn -c example_app/deploy/gunicorn_gevent.py
"""

import os

wsgi_app = "example_app.deploy.wsgi:app"

# A socket file: a user who may open it can claim any client address (ProxyFix in wsgi.py).
# At a port, every user of the machine could.
bind = os.environ.get("EXAMPLE_BIND", "unix:/run/llmchat/gunicorn.sock")
# For the socket file only: this user and group. By default everyone may connect.
umask = 0o007
# The addresses whose X-Forwarded-Proto gunicorn itself trusts: if `bind` is a port, the proxy's.
# It has no effect for a socket file, where every client is trusted.
forwarded_allow_ips = "127.0.0.1,::1"

# One per core: a process uses no more.
# More than one needs EXAMPLE_LLMCHAT_STORE, a Redis server's address: README.md says why.
workers = int(os.environ.get("WEB_CONCURRENCY", 2))
worker_class = "gevent"
# Connections that one process has at once; further ones, of pages and chats, wait silently.
worker_connections = 400
# So chats have a lower limit, and beyond it get 503 with Retry-After at once. Under gevent there is
# no such limit unless it is set. Some 200 chats at 50 words a second keep a core busy.
_streams = os.environ.get("EXAMPLE_LLMCHAT_MAX_STREAMS", worker_connections - 100)
raw_env = [f"EXAMPLE_LLMCHAT_MAX_STREAMS={_streams}"]

# Not the duration of a request: a worker that sends no heartbeat for so long is killed. It sends
# one every second whatever the chats do, unless something blocks all of them.
timeout = 30
# Seconds for running chats after SIGTERM or SIGHUP, also for those that go on without their
# reader. Those that still run are cut off, and saved as interrupted. A little more than
# LLMCHAT_DEADLINE (600), so that none is left.
graceful_timeout = 610
# None. A connection kept open to a worker that is stopping keeps it from stopping, and brings it
# further chats, which then have only the rest of graceful_timeout. At a socket file a new
# connection costs less than 1 ms.
keepalive = 0
# Off. A worker that reaches its number takes no more requests, but is replaced only when its last
# chat is over: minutes, in which the other workers do everything. If you need it to free memory,
# use several workers, and max_requests_jitter, so that they do not all stop in the same minute.
max_requests = 0
max_requests_jitter = 0

# So that SIGHUP brings new code: every new worker imports it. True would keep the old code
# until a restart, and import it before gevent has changed the standard library.
preload_app = False

# No query, no referrer, no header of the request but those listed here, so that nothing that a page
# sends by mistake is logged. The last column is the chat's id, as in the app's own log.
accesslog = "-"
access_log_format = '%(h)s %(t)s "%(m)s %(U)s" %(s)s %(b)s %(M)sms %({x-request-id}o)s'
# A second way to control gunicorn, at one path for all gunicorns of a user. Signals are enough.
control_socket_disable = True
