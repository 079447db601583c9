"""gunicorn with threads, behind nginx.conf: one thread for each chat that is being answered.

For some hundred chats at once. Everything behaves as in any threaded app, which makes it the
one to begin with::

    gunicorn -c example_app/deploy/gunicorn_gthread.py
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

# One a core: the threads of one process share a core.
workers = int(os.environ.get("WEB_CONCURRENCY", 2))
worker_class = "gthread"
# A chat holds its thread until its last word. LLMCHAT_MAX_STREAMS follows from this number: a
# sixteenth of the threads, here 6, is kept for the pages; the 95th chat of a process is told
# 503 and Retry-After at once, where it would otherwise wait in line without a word.
threads = 100
# Connections one process takes before it leaves the rest to the others; they wait for a thread.
worker_connections = 1000

# Not the length of a request: a worker whose main thread gives no sign for so long is killed.
# That thread only hands connections to the others, so that a chat may last as long as it
# likes. (The sync worker gives no sign while it answers: there this would cut every long chat.)
timeout = 30
# How long running chats have after SIGTERM or SIGHUP; those left are cut, and their readers see
# that they are. A little more than LLMCHAT_DEADLINE (600), and none is left.
graceful_timeout = 610
# None. A connection kept open to a worker that is stopping brings it further chats, which then
# have only the rest of graceful_timeout. At a socket file a new connection costs less than 1 ms.
keepalive = 0
# Off. A worker that has had its number takes no more requests, but is replaced only when its
# last chat is over: minutes, in which the other workers do everything. If memory has to be got
# back this way, then with several workers, and with max_requests_jitter, so that they do not
# all stop in the same minute.
max_requests = 0
max_requests_jitter = 0

# So that SIGHUP brings new code: every new worker imports it. True would share some 15 MiB for
# each worker, and keep the old code until a restart.
preload_app = False

# No query, no referrer, no header of the request but what is named here: whatever a page sends
# by mistake is in no log. The last column is the chat's id, as in the app's own log.
accesslog = "-"
access_log_format = '%(h)s %(t)s "%(m)s %(U)s" %(s)s %(b)s %(M)sms %({x-request-id}o)s'
# A second way to command gunicorn, at one path for all the gunicorns of a user. Signals do.
control_socket_disable = True
