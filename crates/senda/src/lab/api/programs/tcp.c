// A TCP connection's life, call by call: `senda lab api tcp`.
#include "tour.h"

int main(void)
{
    //> socket
    int server = socket(AF_INET, SOCK_STREAM, 0);
    if (server == -1) die("socket");
    printf("socket = fd %d\n", server);

    //> bind
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(0)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    struct sockaddr *a = (struct sockaddr *)&address;
    if (bind(server, a, length) == -1) die("bind");
    if (getsockname(server, a, &length) == -1) die("getsockname");
    printf("getsockname = %s:%d\n", inet_ntoa(address.sin_addr),
           ntohs(address.sin_port));

    //> listen
    if (listen(server, 5) == -1) die("listen");

    //> client
    int client = socket(AF_INET, SOCK_STREAM, 0);
    if (client == -1) die("socket");
    printf("socket = fd %d\n", client);

    //> connect
    if (connect(client, a, length) == -1) die("connect");
    struct sockaddr_in own;
    getsockname(client, (struct sockaddr *)&own, &length);
    printf("getsockname = %s:%d\n", inet_ntoa(own.sin_addr),
           ntohs(own.sin_port));

    //> accept
    struct sockaddr_in peer;
    int conn = accept(server, (struct sockaddr *)&peer, &length);
    if (conn == -1) die("accept");
    printf("accept = fd %d from %s:%d\n", conn, inet_ntoa(peer.sin_addr),
           ntohs(peer.sin_port));

    //> send
    ssize_t n = send(client, "Hola, mundo", 11, MSG_NOSIGNAL);
    if (n == -1) die("send");
    printf("send = %zd\n", n);

    //> recv
    char data[1024];
    n = recv(conn, data, sizeof data, 0);
    if (n == -1) die("recv");
    printf("recv = %zd b'%.*s'\n", n, (int)n, data);

    //> echo
    for (ssize_t sent = 0, len = n; sent < len; sent += n) { // C has no sendall
        n = send(conn, data + sent, len - sent, MSG_NOSIGNAL);
        if (n == -1) die("send");
    }
    n = recv(client, data, sizeof data, 0);
    if (n == -1) die("recv");
    printf("recv = %zd b'%.*s'\n", n, (int)n, data);

    //> close
    if (close(client) == -1) die("close");

    //> end
    n = recv(conn, data, sizeof data, 0);
    if (n == -1) die("recv");
    printf("recv = %zd b'%.*s'\n", n, (int)n, data);

    //> close-conn
    if (close(conn) == -1) die("close");

    //> close-server
    if (close(server) == -1) die("close");
    //.
    return 0;
}
