// What goes wrong, and how it is said: `senda lab api errors`.
#include "tour.h"

int main(void)
{
    char data[64];
    //> closed-port
    int closed = socket(AF_INET, SOCK_STREAM, 0);
    if (bind_to(closed, loopback(0)) == -1) die("bind"); // and no listen
    Address nobody = name_of(closed);
    print_address("getsockname", nobody);

    //> connect-ex
    int client = socket(AF_INET, SOCK_STREAM, 0);
    int code = connect_to(client, nobody) == 0 ? 0 : errno; // connect_ex
    printf("connect_ex = %d\n", code);

    //> connect
    close(client);
    client = socket(AF_INET, SOCK_STREAM, 0);
    if (connect_to(client, nobody) == -1) print_errno("connect");

    //> in-use
    int server = listener(); // socket, bind, listen
    print_address("getsockname", name_of(server));
    int other = socket(AF_INET, SOCK_STREAM, 0);
    if (bind_to(other, name_of(server)) == -1) print_errno("bind");

    //> nothing-yet
    client = connected_to(name_of(server));
    int conn = accept_one(server);
    ssize_t n = recv(client, data, sizeof data, MSG_DONTWAIT);
    if (n == -1) print_errno("recv");

    //> peer-closes
    if (close(conn) == -1) die("close");

    //> first-send
    printf("send = %zd\n", send(client, "Hola, mundo", 11, MSG_NOSIGNAL));

    //> later-send
    while (send(client, "?", 1, MSG_NOSIGNAL) == 1) {} // until the RST is here
    print_errno("send");

    //> unread
    client = connected_to(name_of(server));
    conn = accept_one(server);
    printf("send = %zd\n", send(client, "Hola, mundo", 11, MSG_NOSIGNAL));
    //.
    wait_for(conn, 11);

    //> reset
    close(conn); // 11 bytes are there, unread
    if (recv(client, data, sizeof data, 0) == -1) print_errno("recv");

    //> after-reset
    if (send(client, "?", 1, MSG_NOSIGNAL) == -1) print_errno("send");
    //.
    return 0;
}
