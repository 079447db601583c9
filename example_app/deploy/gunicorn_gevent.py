"""gunicorn with gevent, behind nginx.conf: all the chats of a process in one thread.

For many hundred chats at once, in less memory. Whatever blocks without gevent's knowing (a
database driver in C, a long computation) stops every chat of its process meanwhile. It needs
``pip install gevent packaging``::

    gunicorn -c example_app/deploy/gunicorn_gevent.py
"""

import os

wsgi_app = "example_app.deploy.wsgi:app"

# A socket file: who may open it may also say whom a request is from (ProxyFix in wsgi.py).
# At a port, every user of the machine may.
bind = os.environ.get("EXAMPLE_BIND", "unix:/run/llmchat/gunicorn.sock")
# For the socket file only: this user and group. The default is that everybody may connect.
umask = 0o007
# Whose X-Forwarded-Proto gunicorn itself believes. Of no effect for a socket file, where
# everybody is believed; if `bind` is a port, the proxy's address.
forwarded_allow_ips = "127.0.0.1,::1"

# One a core: a process uses no more.
workers = int(os.environ.get("WEB_CONCURRENCY", 2))
worker_class = "gevent"
# Connections one process has at once; the next waits without a word, be it a page's or a
# chat's.
worker_connections = 400
# So the chats stop earlier, and are told 503 and Retry-After at once. There is no such limit
# under gevent unless it is set. Some 200 chats at 50 words a second keep a core busy.
_streams = os.environ.get("EXAMPLE_LLMCHAT_MAX_STREAMS", worker_connections - 100)
raw_env = [f"EXAMPLE_LLMCHAT_MAX_STREAMS={_streams}"]

# Not the length of a request: a worker that gives no sign for so long is killed. It gives one
# every second whatever the chats do, unless something blocks all of them.
timeout = 30
# How long running chats have after SIGTERM or SIGHUP; those left are cut, and their readers see
# that they are. A little more than LLMCHAT_DEADLINE (600), and none is left.
graceful_timeout = 610
# None. A connection kept open to a worker that is stopping keeps it from stopping, and brings it
# further chats, which then have only the rest of graceful_timeout. At a socket file a new
# connection costs less than 1 ms.
keepalive = 0
# Off. A worker that has had its number takes no more requests, but is replaced only when its
# last chat is over: minutes, in which the other workers do everything. If memory has to be got
# back this way, then with several workers, and with max_requests_jitter, so that they do not
# all stop in the same minute.
max_requests = 0
max_requests_jitter = 0

# So that SIGHUP brings new code: every new worker imports it. True would keep the old code
# until a restart, and import it before gevent has changed the standard library.
preload_app = False

# No query, no referrer, no header of the request but what is named here: whatever a page sends
# by mistake is in no log. The last column is the chat's id, as in the app's own log.
accesslog = "-"
access_log_format = '%(h)s %(t)s "%(m)s %(U)s" %(s)s %(b)s %(M)sms %({x-request-id}o)s'
# A second way to command gunicorn, at one path for all the gunicorns of a user. Signals do.
control_socket_disable = True
