"""A port in TIME-WAIT, and SO_REUSEADDR: `senda lab api reuse`."""

import socket

#> first
server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", 0))
server.listen(5)
address = server.getsockname()
print("getsockname = %s:%d" % address)
client = socket.create_connection(address)
conn, peer = server.accept()

#> server-first
conn.close()  # the server's side is the first to close
print("recv =", len(client.recv(64)))
client.close()
server.close()

#> without
second = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
try:
    second.bind(address)
except OSError as error:
    print("bind = -1 errno", error.errno)

#> with
second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
second.bind(address)
second.listen(5)
print("getsockname = %s:%d" % second.getsockname())

#> both
server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
server.bind(("127.0.0.1", 0))  # this one has no SO_REUSEADDR
server.listen(5)
address = server.getsockname()
print("getsockname = %s:%d" % address)
client = socket.create_connection(address)
conn, peer = server.accept()
conn.close()
print("recv =", len(client.recv(64)))
client.close()
server.close()
third = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
third.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
try:
    third.bind(address)
except OSError as error:
    print("bind = -1 errno", error.errno)
