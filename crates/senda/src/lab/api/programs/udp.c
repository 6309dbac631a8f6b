// Datagrams: `senda lab api udp`.
#include "tour.h"

static void print_datagram(const char *call, ssize_t n, const char *data, Address from)
{
    printf("%s = %zd b'%.*s' from %s:%d\n", call, n, (int)n, data,
           inet_ntoa(from.sin_addr), ntohs(from.sin_port));
}

int main(void)
{
    //> receiver
    int receiver = socket(AF_INET, SOCK_DGRAM, 0);
    if (receiver == -1) die("socket");
    printf("socket = fd %d\n", receiver);
    if (bind_to(receiver, loopback(0)) == -1) die("bind");
    Address address = name_of(receiver);
    print_address("getsockname", address);

    //> sender
    int sender = socket(AF_INET, SOCK_DGRAM, 0);
    if (sender == -1) die("socket");
    printf("socket = fd %d\n", sender);

    //> sendto
    struct sockaddr *to = (struct sockaddr *)&address;
    socklen_t length = sizeof address;
    printf("sendto = %zd\n", sendto(sender, "Hola, mundo", 11, 0, to, length));
    print_address("getsockname", name_of(sender));

    //> recvfrom
    char data[1024];
    Address peer;
    struct sockaddr *from = (struct sockaddr *)&peer;
    ssize_t n = recvfrom(receiver, data, sizeof data, 0, from, &length);
    print_datagram("recvfrom", n, data, peer);

    //> answer
    printf("sendto = %zd\n", sendto(receiver, "eco", 3, 0, from, length));
    n = recvfrom(sender, data, sizeof data, 0, from, &length);
    print_datagram("recvfrom", n, data, peer);

    //> two
    printf("sendto = %zd\n", sendto(sender, "uno", 3, 0, to, length));
    printf("sendto = %zd\n", sendto(sender, "dos", 3, 0, to, length));

    //> one-each
    for (int i = 0; i < 2; i++) {
        n = recvfrom(receiver, data, sizeof data, 0, from, &length);
        print_datagram("recvfrom", n, data, peer);
    }

    //> truncated
    printf("sendto = %zd\n", sendto(sender, "Hola, mundo", 11, 0, to, length));
    n = recv(receiver, data, 4, 0);
    printf("recv = %zd b'%.*s'\n", n, (int)n, data);
    n = recv(receiver, data, sizeof data, MSG_DONTWAIT);
    if (n == -1) print_errno("recv"); // the rest is not there

    //> msg-trunc
    printf("sendto = %zd\n", sendto(sender, "Hola, mundo", 11, 0, to, length));
    struct iovec part = {.iov_base = data, .iov_len = 4};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    n = recvmsg(receiver, &message, 0);
    printf("recvmsg = %zd\n", n);
    printf("MSG_TRUNC = %d\n", (message.msg_flags & MSG_TRUNC) != 0);

    //> empty
    printf("sendto = %zd\n", sendto(sender, "", 0, 0, to, length));
    n = recvfrom(receiver, data, sizeof data, 0, from, &length);
    print_datagram("recvfrom", n, data, peer);

    //> connect
    int private = socket(AF_INET, SOCK_DGRAM, 0);
    if (bind_to(private, loopback(0)) == -1) die("bind");
    if (connect_to(private, address) == -1) die("connect"); // the receiver's
    print_address("getsockname", name_of(private));

    //> nothing
    Address closed = name_of(private); // to everybody else
    printf("sendto = %zd\n",
           sendto(sender, "hola", 4, 0, (struct sockaddr *)&closed, length));
    n = recv(sender, data, sizeof data, MSG_DONTWAIT);
    if (n == -1) print_errno("recv");

    //> refused
    if (connect_to(sender, closed) == -1) die("connect");
    printf("send = %zd\n", send(sender, "hola", 4, 0));
    n = recv(sender, data, sizeof data, 0);
    if (n == -1) print_errno("recv");

    //> close
    close(private);
    close(sender);
    close(receiver);
    //.
    return 0;
}
