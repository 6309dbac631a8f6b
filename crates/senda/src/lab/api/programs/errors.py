"""What goes wrong, and how it is said: `senda lab api errors`."""

import socket

#> closed-port
closed = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
closed.bind(("127.0.0.1", 0))  # and no listen
nobody = closed.getsockname()
print("getsockname = %s:%d" % nobody)

#> connect-ex
client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
print("connect_ex =", client.connect_ex(nobody))

#> connect
client.close()
client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
try:
    client.connect(nobody)
except ConnectionRefusedError as error:
    print("connect = -1 errno", error.errno)

#> in-use
server = socket.create_server(("127.0.0.1", 0))  # socket, bind, listen
print("getsockname = %s:%d" % server.getsockname())
other = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
try:
    other.bind(server.getsockname())
except OSError as error:
    print("bind = -1 errno", error.errno)

#> nothing-yet
client = socket.create_connection(server.getsockname())
conn, peer = server.accept()
try:
    client.recv(64, socket.MSG_DONTWAIT)
except BlockingIOError as error:
    print("recv = -1 errno", error.errno)

#> peer-closes
conn.close()

#> first-send
print("send =", client.send(b"Hola, mundo"))

#> later-send
try:
    while True:  # until the RST is here
        client.send(b"?")
except BrokenPipeError as error:
    print("send = -1 errno", error.errno)

#> unread
client = socket.create_connection(server.getsockname())
conn, peer = server.accept()
print("send =", client.send(b"Hola, mundo"))
#.
while len(conn.recv(64, socket.MSG_PEEK)) < 11:
    pass  # the bytes travel while we go on

#> reset
conn.close()  # 11 bytes are there, unread
try:
    client.recv(64)
except ConnectionResetError as error:
    print("recv = -1 errno", error.errno)

#> after-reset
try:
    client.send(b"?")
except BrokenPipeError as error:
    print("send = -1 errno", error.errno)
