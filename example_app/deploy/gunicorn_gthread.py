"""gunicorn with threads, behind nginx.conf: one thread for each running chat.

For some hundred chats at once. Everything behaves as in any threaded app, so begin with this
one::

    gunicorn -c example_app/deploy/gunicorn_gthread.py
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

# One per core: the threads of one process share a core.
# More than one needs EXAMPLE_LLMCHAT_STORE, a Redis server's address: README.md says why.
workers = int(os.environ.get("WEB_CONCURRENCY", 2))
worker_class = "gthread"
# A chat holds its thread until its last byte, whether it is read or not, and so does each further
# reader of it. LLMCHAT_MAX_STREAMS follows from this number: a sixteenth of the threads, here 6, is
# kept for the pages. The 95th chat of a process gets 503 with Retry-After at once; otherwise it
# would wait silently for a thread.
threads = 100
# Connections that one process accepts, which wait for a thread; the rest go to other processes.
worker_connections = 1000

# Not the duration of a request: a worker whose main thread sends no heartbeat for so long is
# killed. That thread only hands connections to the others, so that a chat may take any time. (The
# sync worker sends none during a request: there this would cut off every long chat.)
timeout = 30
# Seconds for running chats after SIGTERM or SIGHUP, also for those that go on without their
# reader. Those that still run are cut off, and saved as interrupted. A little more than
# LLMCHAT_DEADLINE (600), so that none is left.
graceful_timeout = 610
# None. A connection kept open to a worker that is stopping brings it further chats, which then
# have only the rest of graceful_timeout. At a socket file a new connection costs less than 1 ms.
keepalive = 0
# Off. A worker that reaches its number takes no more requests, but is replaced only when its last
# chat is over: minutes, in which the other workers do everything. If you need it to free memory,
# use several workers, and max_requests_jitter, so that they do not all stop in the same minute.
max_requests = 0
max_requests_jitter = 0

# So that SIGHUP brings new code: every new worker imports it. True would share some 15 MiB for
# each worker, and keep the old code until a restart.
preload_app = False

# No query, no referrer, no header of the request but those listed here, so that nothing that a page
# sends by mistake is logged. The last column is the chat's id, as in the app's own log.
accesslog = "-"
access_log_format = '%(h)s %(t)s "%(m)s %(U)s" %(s)s %(b)s %(M)sms %({x-request-id}o)s'
# A second way to control gunicorn, at one path for all gunicorns of a user. Signals are enough.
control_socket_disable = True
