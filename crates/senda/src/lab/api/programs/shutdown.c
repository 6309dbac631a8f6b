// Half of a connection ends: `senda lab api shutdown`.
#include "tour.h"

int main(void)
{
    //> connection
    int server = listener(); // socket, bind, listen
    int client = connected_to(name_of(server)); // socket, connect
    int conn = accept_one(server);
    print_address("client", name_of(client));

    //> shutdown
    printf("send = %zd\n", send(client, "datos", 5, MSG_NOSIGNAL));
    if (shutdown(client, SHUT_WR) == -1) die("shutdown");

    //> to-the-end
    char data[1024];
    ssize_t n;
    do { // each recv until the end
        n = recv(conn, data, sizeof data, 0);
        printf("recv = %zd b'%.*s'\n", n, (int)n, data);
    } while (n > 0);

    //> answer
    printf("send = %zd\n", send(conn, "respuesta", 9, MSG_NOSIGNAL));
    n = recv(client, data, sizeof data, 0);
    printf("recv = %zd b'%.*s'\n", n, (int)n, data);

    //> no-more
    if (send(client, "otro", 4, MSG_NOSIGNAL) == -1) // or SIGPIPE would end us
        print_errno("send");

    //> close
    if (close(conn) == -1) die("close");

    //> both
    n = recv(client, data, sizeof data, 0);
    printf("recv = %zd b'%.*s'\n", n, (int)n, data);
    if (close(client) == -1) die("close");
    //.
    return 0;
}
