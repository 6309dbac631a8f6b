"""TCP carries bytes, not messages: `senda lab api stream`."""

import socket
import struct

#> connection
server = socket.create_server(("127.0.0.1", 0))  # socket, bind, listen
client = socket.create_connection(server.getsockname())  # socket, connect
conn, peer = server.accept()
print("client = %s:%d" % client.getsockname())

#> two-sends
print("send =", client.send(b"Hola,"))
print("send =", client.send(b" mundo"))
#.
while len(conn.recv(64, socket.MSG_PEEK)) < 11:
    pass  # the bytes travel while we go on

#> one-recv
data = conn.recv(1024)
print("recv =", len(data), data)

#> one-send
print("send =", client.send(b"Hola, mundo"))
#.
while len(conn.recv(64, socket.MSG_PEEK)) < 11:
    pass

#> three-recvs
for _ in range(3):
    data = conn.recv(4)
    print("recv =", len(data), data)

#> frame
for message in b"Hola,", b" mundo":
    frame = struct.pack("!I", len(message)) + message
    client.sendall(frame)
    print("sent =", len(frame))

#> unframe
def recv_exactly(size):
    data = b""
    while len(data) < size:
        part = conn.recv(size - len(data))
        if not part:
            raise EOFError("the connection ended in mid-message")
        data += part
    return data

for _ in range(2):
    (size,) = struct.unpack("!I", recv_exactly(4))
    if size > 1024:
        raise ValueError("a length from outside has a limit")
    data = recv_exactly(size)
    print("recv =", len(data), data)
