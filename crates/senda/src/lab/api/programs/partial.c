// A send that takes a part: `senda lab api partial`.
#include "tour.h"

static char data[1 << 20]; // 1 MiB

int main(void)
{
    static char buffer[1 << 16];
    //> buffers
    int server = listener(), client = connected_to(name_of(server));
    int conn = accept_one(server);
    int size = 1 << 16; // Linux doubles it, for its own bookkeeping
    setsockopt(client, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    setsockopt(conn, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    print_address("client", name_of(client));

    //> part
    if (fcntl(client, F_SETFL, O_NONBLOCK) == -1) die("fcntl");
    ssize_t sent = send(client, data, sizeof data, MSG_NOSIGNAL);
    printf("send = %zd of %zu\n", sent, sizeof data);

    //> full
    ssize_t n;
    do {
        n = send(client, data + sent, sizeof data - sent, MSG_NOSIGNAL);
        if (n > 0) sent += n;
    } while (n > 0);
    printf("send = -1 errno %d\nsent = %zd of %zu\n", errno, sent, sizeof data);

    //> sendall
    size_t received = 0;
    while (received < sizeof data) {
        n = send(client, data + sent, sizeof data - sent, MSG_NOSIGNAL);
        if (n >= 0) sent += n;
        else if (errno != EAGAIN) die("send");
        n = recv(conn, buffer, sizeof buffer, 0); // reading makes room
        if (n <= 0) die("recv");
        received += n;
    }
    printf("sent = %zd\nreceived = %zu\n", sent, received);
    //.
    return 0;
}
