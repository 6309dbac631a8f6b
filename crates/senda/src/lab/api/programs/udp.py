"""Datagrams: `senda lab api udp`."""

import socket

#> receiver
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print("socket = fd", receiver.fileno())
receiver.bind(("127.0.0.1", 0))
address = receiver.getsockname()
print("getsockname = %s:%d" % address)

#> sender
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print("socket = fd", sender.fileno())

#> sendto
print("sendto =", sender.sendto(b"Hola, mundo", address))
print("getsockname = %s:%d" % sender.getsockname())

#> recvfrom
data, peer = receiver.recvfrom(1024)
print("recvfrom =", len(data), data, "from %s:%d" % peer)

#> answer
print("sendto =", receiver.sendto(b"eco", peer))
data, origin = sender.recvfrom(1024)
print("recvfrom =", len(data), data, "from %s:%d" % origin)

#> two
print("sendto =", sender.sendto(b"uno", address))
print("sendto =", sender.sendto(b"dos", address))

#> one-each
for _ in range(2):
    data, peer = receiver.recvfrom(1024)
    print("recvfrom =", len(data), data, "from %s:%d" % peer)

#> truncated
print("sendto =", sender.sendto(b"Hola, mundo", address))
data = receiver.recv(4)
print("recv =", len(data), data)
try:
    receiver.recv(1024, socket.MSG_DONTWAIT)
except BlockingIOError as error:  # the rest is not there
    print("recv = -1 errno", error.errno)

#> msg-trunc
print("sendto =", sender.sendto(b"Hola, mundo", address))
data, _, flags, _ = receiver.recvmsg(4)
print("recvmsg =", len(data))
print("MSG_TRUNC =", int(flags & socket.MSG_TRUNC != 0))

#> empty
print("sendto =", sender.sendto(b"", address))
data, peer = receiver.recvfrom(1024)
print("recvfrom =", len(data), data, "from %s:%d" % peer)

#> connect
private = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
private.bind(("127.0.0.1", 0))
private.connect(address)  # the receiver's
print("getsockname = %s:%d" % private.getsockname())

#> nothing
closed = private.getsockname()  # to everybody else
print("sendto =", sender.sendto(b"hola", closed))
try:
    sender.recv(1024, socket.MSG_DONTWAIT)
except BlockingIOError as error:
    print("recv = -1 errno", error.errno)

#> refused
sender.connect(closed)
print("send =", sender.send(b"hola"))
try:
    sender.recv(1024)
except ConnectionRefusedError as error:
    print("recv = -1 errno", error.errno)

#> close
private.close()
sender.close()
receiver.close()
