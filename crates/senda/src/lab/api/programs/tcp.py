"""A TCP connection's life, call by call: `senda lab api tcp`."""

import socket

#> socket
server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
print("socket = fd", server.fileno())

#> bind
server.bind(("127.0.0.1", 0))
print("getsockname = %s:%d" % server.getsockname())

#> listen
server.listen(5)

#> client
client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
print("socket = fd", client.fileno())

#> connect
client.connect(server.getsockname())
print("getsockname = %s:%d" % client.getsockname())

#> accept
conn, peer = server.accept()
print("accept = fd %d from %s:%d" % (conn.fileno(), *peer))

#> send
print("send =", client.send(b"Hola, mundo"))

#> recv
data = conn.recv(1024)
print("recv =", len(data), data)

#> echo
conn.sendall(data)
data = client.recv(1024)
print("recv =", len(data), data)

#> close
client.close()

#> end
data = conn.recv(1024)
print("recv =", len(data), data)

#> close-conn
conn.close()

#> close-server
server.close()
