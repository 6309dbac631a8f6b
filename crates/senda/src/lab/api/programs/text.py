"""Text becomes bytes: `senda lab api text`."""

import socket

#> encode
text = "año"
data = text.encode("utf-8")
print("characters =", len(text))
print("bytes =", len(data), data.hex(" "))
#.
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
conn, _ = server.accept()

#> send
print("send =", client.send(data))  # client.send(text) is a TypeError
#.
while len(conn.recv(64, socket.MSG_PEEK)) < 4:
    pass  # the bytes travel while we go on

#> half
first = conn.recv(2)  # first.decode("utf-8") would be a UnicodeDecodeError
print("recv =", len(first), first.hex(" "))

#> whole
rest = conn.recv(1024)
print("recv =", len(rest), rest.hex(" "))
print("equal =", int((first + rest).decode("utf-8") == text))
