#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct sockaddr_in Address;

// What a call that must not fail says when it does.
static inline void die(const char *call)
{
    perror(call);
    exit(1);
}

// 127.0.0.1 and a port; 0 lets the system choose.
static inline Address loopback(uint16_t port)
{
    Address address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static inline int bind_to(int fd, Address a)
{
    return bind(fd, (struct sockaddr *)&a, sizeof a);
}

static inline int connect_to(int fd, Address a)
{
    return connect(fd, (struct sockaddr *)&a, sizeof a);
}

// getsockname: the address that a socket has.
static inline Address name_of(int fd)
{
    Address address;
    socklen_t length = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &length) == -1) die("getsockname");
    return address;
}

static inline void print_address(const char *what, Address a)
{
    printf("%s = %s:%d\n", what, inet_ntoa(a.sin_addr), ntohs(a.sin_port));
}

// After a call that returned -1.
static inline void print_errno(const char *call)
{
    printf("%s = -1 errno %d\n", call, errno);
}

// socket, bind to a port that the system chooses, listen.
static inline int listener(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd == -1 || bind_to(fd, loopback(0)) == -1 || listen(fd, 5) == -1) die("listener");
    return fd;
}

// socket, connect.
static inline int connected_to(Address a)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd == -1 || connect_to(fd, a) == -1) die("connect");
    return fd;
}

static inline int accept_one(int listener)
{
    int fd = accept(listener, NULL, NULL);
    if (fd == -1) die("accept");
    return fd;
}

// Looks, and takes nothing, until so many bytes are there: they travel while we go on.
static inline void wait_for(int fd, ssize_t bytes)
{
    char data[64];
    while (recv(fd, data, sizeof data, MSG_PEEK) < bytes) {}
}
