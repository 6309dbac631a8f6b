"""Connections that wait for accept: `senda lab api backlog`."""

import socket

#> listen
server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
server.bind(("127.0.0.1", 0))
server.listen(1)
print("getsockname = %s:%d" % server.getsockname())

#> two
first = socket.create_connection(server.getsockname())  # socket, connect
print("first = %s:%d" % first.getsockname())
second = socket.create_connection(server.getsockname())
print("second = %s:%d" % second.getsockname())

#> early
print("send =", first.send(b"uno"))

#> third
third = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
third.setblocking(False)
try:
    third.connect(server.getsockname())
except BlockingIOError as error:
    print("connect = -1 errno", error.errno)

#> give-up
third.close()

#> accept
conn, peer = server.accept()
print("accept = %s:%d" % peer)
data = conn.recv(1024)
print("recv =", len(data), data)

#> next
other, peer = server.accept()
print("accept = %s:%d" % peer)
