// A port in TIME-WAIT, and SO_REUSEADDR: `senda lab api reuse`.
#include "tour.h"

int main(void)
{
    char data[64];
    int yes = 1;
    //> first
    int server = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind_to(server, loopback(0)) == -1) die("bind");
    if (listen(server, 5) == -1) die("listen");
    Address address = name_of(server);
    print_address("getsockname", address);
    int client = connected_to(address), conn = accept_one(server);

    //> server-first
    close(conn); // the server's side is the first to close
    printf("recv = %zd\n", recv(client, data, sizeof data, 0));
    close(client);
    close(server);

    //> without
    int second = socket(AF_INET, SOCK_STREAM, 0);
    if (bind_to(second, address) == -1) print_errno("bind");

    //> with
    setsockopt(second, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind_to(second, address) == -1 || listen(second, 5) == -1) die("bind");
    print_address("getsockname", name_of(second));

    //> both
    server = listener(); // this one has no SO_REUSEADDR
    address = name_of(server);
    print_address("getsockname", address);
    client = connected_to(address), conn = accept_one(server);
    close(conn);
    printf("recv = %zd\n", recv(client, data, sizeof data, 0));
    close(client);
    close(server);
    int third = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(third, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind_to(third, address) == -1) print_errno("bind");
    //.
    return 0;
}
