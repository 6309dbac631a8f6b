// TCP carries bytes, not messages: `senda lab api stream`.
#include "tour.h"

int main(void)
{
    //> connection
    int server = listener(); // socket, bind, listen
    int client = connected_to(name_of(server)); // socket, connect
    int conn = accept_one(server);
    print_address("client", name_of(client));

    //> two-sends
    printf("send = %zd\n", send(client, "Hola,", 5, MSG_NOSIGNAL));
    printf("send = %zd\n", send(client, " mundo", 6, MSG_NOSIGNAL));
    //.
    wait_for(conn, 11);

    //> one-recv
    char data[1024];
    ssize_t n = recv(conn, data, sizeof data, 0);
    printf("recv = %zd b'%.*s'\n", n, (int)n, data);

    //> one-send
    printf("send = %zd\n", send(client, "Hola, mundo", 11, MSG_NOSIGNAL));
    //.
    wait_for(conn, 11);

    //> three-recvs
    for (int i = 0; i < 3; i++) {
        n = recv(conn, data, 4, 0);
        printf("recv = %zd b'%.*s'\n", n, (int)n, data);
    }

    //> frame
    const char *messages[] = {"Hola,", " mundo"};
    for (int i = 0; i < 2; i++) {
        uint32_t len = htonl(strlen(messages[i])); // network order
        ssize_t sent = send(client, &len, sizeof len, MSG_NOSIGNAL);
        sent += send(client, messages[i], strlen(messages[i]), MSG_NOSIGNAL);
        printf("sent = %zd\n", sent);
    }

    //> unframe
    for (int i = 0; i < 2; i++) {
        uint32_t len; // MSG_WAITALL: exactly so many, or the end
        n = recv(conn, &len, sizeof len, MSG_WAITALL);
        if (n != sizeof len) die("recv");
        len = ntohl(len);
        if (len > sizeof data) return 1; // a length from outside has a limit
        n = recv(conn, data, len, MSG_WAITALL);
        printf("recv = %zd b'%.*s'\n", n, (int)n, data);
    }
    //.
    return 0;
}
