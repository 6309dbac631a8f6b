"""A send that takes a part: `senda lab api partial`."""

import socket

data = bytes(1 << 20)  # 1 MiB

#> buffers
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
conn, peer = server.accept()
# Linux doubles the sizes, for its own bookkeeping
client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
print("client = %s:%d" % client.getsockname())

#> part
client.setblocking(False)
sent = client.send(data)
print("send =", sent, "of", len(data))

#> full
try:
    while True:
        sent += client.send(data[sent:])
except BlockingIOError as error:
    print("send = -1 errno", error.errno)
print("sent =", sent, "of", len(data))

#> sendall
received = 0
while received < len(data):
    try:
        sent += client.send(data[sent:])
    except BlockingIOError:
        pass
    received += len(conn.recv(1 << 16))  # reading makes room
print("sent =", sent)
print("received =", received)
