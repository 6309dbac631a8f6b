"""Half of a connection ends: `senda lab api shutdown`."""

import socket

#> connection
server = socket.create_server(("127.0.0.1", 0))  # socket, bind, listen
client = socket.create_connection(server.getsockname())  # socket, connect
conn, peer = server.accept()
print("client = %s:%d" % client.getsockname())

#> shutdown
print("send =", client.send(b"datos"))
client.shutdown(socket.SHUT_WR)

#> to-the-end
data = None
while data != b"":  # each recv until the end
    data = conn.recv(1024)
    print("recv =", len(data), data)

#> answer
print("send =", conn.send(b"respuesta"))
data = client.recv(1024)
print("recv =", len(data), data)

#> no-more
try:
    client.send(b"otro")
except BrokenPipeError as error:
    print("send = -1 errno", error.errno)

#> close
conn.close()

#> both
data = client.recv(1024)
print("recv =", len(data), data)
client.close()
