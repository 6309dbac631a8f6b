// Text becomes bytes: `senda lab api text`.
#include "tour.h"

int main(void)
{
    char data[64];
    //> encode
    const char *text = "año"; // the compiler has made UTF-8 of it
    int characters = 0;
    for (const char *c = text; *c; c++) characters += (*c & 0xC0) != 0x80;
    printf("characters = %d\nbytes = %zu", characters, strlen(text));
    for (const char *c = text; *c; c++) printf(" %02x", *c & 0xFF);
    printf("\n");
    //.
    int server = listener(), client = connected_to(name_of(server)), conn = accept_one(server);

    //> send
    printf("send = %zd\n", send(client, text, strlen(text), MSG_NOSIGNAL));
    //.
    wait_for(conn, 4);

    //> half
    ssize_t n = recv(conn, data, 2, 0);
    printf("recv = %zd %02x %02x\n", n, data[0] & 0xFF, data[1] & 0xFF);

    //> whole
    n = recv(conn, data + 2, sizeof data - 2, 0); // behind the first two
    printf("recv = %zd %02x %02x\n", n, data[2] & 0xFF, data[3] & 0xFF);
    printf("equal = %d\n", n == 2 && memcmp(data, text, 4) == 0);
    //.
    return 0;
}
