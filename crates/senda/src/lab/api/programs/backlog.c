// Connections that wait for accept: `senda lab api backlog`.
#include "tour.h"

int main(void)
{
    //> listen
    int server = socket(AF_INET, SOCK_STREAM, 0);
    if (server == -1 || bind_to(server, loopback(0)) == -1) die("bind");
    if (listen(server, 1) == -1) die("listen");
    print_address("getsockname", name_of(server));

    //> two
    int first = connected_to(name_of(server)); // socket, connect
    print_address("first", name_of(first));
    int second = connected_to(name_of(server));
    print_address("second", name_of(second));

    //> early
    printf("send = %zd\n", send(first, "uno", 3, MSG_NOSIGNAL));

    //> third
    int third = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connect_to(third, name_of(server)) == -1) print_errno("connect");

    //> give-up
    if (close(third) == -1) die("close");

    //> accept
    Address peer;
    socklen_t length = sizeof peer;
    int conn = accept(server, (struct sockaddr *)&peer, &length);
    if (conn == -1) die("accept");
    print_address("accept", peer);
    char data[1024];
    ssize_t n = recv(conn, data, sizeof data, 0);
    printf("recv = %zd b'%.*s'\n", n, (int)n, data);

    //> next
    int other = accept(server, (struct sockaddr *)&peer, &length);
    if (other == -1) die("accept");
    print_address("accept", peer);
    //.
    return 0;
}
