/* Sends made-up readings to a collector, prints what becomes of them, and does what the collector asks for.
 *
 *     posix --udp HOST:PORT --device gh-7 [--interval MS] [--count N]
 *
 * Ends with 0 when N readings were made and all are stored; without --count it runs until it is interrupted. */
#define _POSIX_C_SOURCE 200809L
#include "senda.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- The port: sockets and randomness ---- */

struct network {
    const char *host, *port;
    bool tcp;
    int fd;
};

static int network_open(void *context, bool up)
{
    struct network *network = context;
    struct addrinfo hints, *found = NULL;
    if (network->fd >= 0) close(network->fd);
    network->fd = -1;
    if (!up) return 1;
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = network->tcp ? SOCK_STREAM : SOCK_DGRAM;
    if (getaddrinfo(network->host, network->port, &hints, &found)) return -1;
    for (struct addrinfo *it = found; it && network->fd < 0; it = it->ai_next) {
        network->fd = socket(it->ai_family, it->ai_socktype, 0);
        if (network->fd >= 0 && connect(network->fd, it->ai_addr, it->ai_addrlen)) {
            close(network->fd);
            network->fd = -1;
        }
    }
    freeaddrinfo(found);
    return network->fd < 0 ? -1 : 1;
}

static bool network_send(void *context, const uint8_t *bytes, size_t len)
{
    struct network *network = context;
    while (len) {
        ssize_t sent = send(network->fd, bytes, len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        /* A datagram may be lost, here or elsewhere: what is refused (ICMP) or finds no room is sent again later. */
        if (!network->tcp) return sent >= 0 || errno == ECONNREFUSED || errno == ENOBUFS;
        if (sent < 0) return false;
        bytes += sent;
        len -= (size_t)sent;
    }
    return true;
}

static int network_receive(void *context, uint8_t *bytes, size_t size)
{
    struct network *network = context;
    ssize_t len = recv(network->fd, bytes, size, MSG_DONTWAIT);
    if (len > 0) return (int)len;
    if (len == 0) return network->tcp ? -1 : 0;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || (!network->tcp && errno == ECONNREFUSED) ? 0 : -1;
}

static uint64_t network_random(void *context)
{
    uint64_t bits = 0;
    (void)context;
    int fd = open("/dev/urandom", O_RDONLY);
    if (fd < 0 || read(fd, &bits, sizeof bits) != (ssize_t)sizeof bits) {
        perror("/dev/urandom");
        exit(1);
    }
    close(fd);
    return bits;
}

static uint64_t clock_us(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ---- The device ---- */

static const char *const states[] = {"ok", "low battery"};
static const senda_channel channels[] = {
    {"temperature", "Cel", SENDA_I16, -1, 0, 1, 0, 0, NULL},
    {"humidity", "%RH", SENDA_U8, 0, 0, 1, 0, 0, NULL},
    {"acceleration", "m/s2", SENDA_F32, 0, 0, 3, 0, 0, NULL},
    {"state", NULL, SENDA_ENUM8, 0, 0, 1, 0, 2, states},
};
static const senda_schema schema = {"greenhouse", 4, channels};

struct device {
    uint32_t interval_ms, default_ms, made;
};

static int64_t make_reading(senda_client *client, struct device *device)
{
    uint8_t wire[12];
    uint32_t n = device->made++;
    const float acceleration[] = {(float)(n % 7) / 4, -0.5f, 9.81f};
    senda_value values[] = {
        senda_i16((int16_t)(200 + n % 50)),
        senda_u8((uint8_t)(60 + n % 10)),
        senda_vector(SENDA_F32, 3, acceleration, wire),
        senda_enum(n % 20 == 19),
    };
    return senda_add(client, 0, SENDA_UTC_SYNCED, (int64_t)clock_us(CLOCK_REALTIME), values, 4);
}

/* interval_ms, kept within 10 ms and an hour. */
static uint8_t configure(senda_client *client, struct device *device, senda_list settings)
{
    senda_bytes name;
    senda_value value;
    uint64_t wanted = device->default_ms;
    while (senda_next(&settings, &name, &value)) {
        if (name.len != 11 || memcmp(name.at, "interval_ms", 11)) continue;
        if (value.type != SENDA_U32 || value.elements != 1) return SENDA_DONE_REFUSED;
        wanted = senda_unsigned(&value, 0);
    }
    device->interval_ms = wanted < 10 ? 10 : wanted < 3600000 ? (uint32_t)wanted : 3600000;
    printf("interval %" PRIu32 " ms\n", device->interval_ms);
    if (device->interval_ms == wanted) return SENDA_DONE_OK;
    value = senda_u32(device->interval_ms);
    senda_answer(client, "interval_ms", &value);
    return SENDA_DONE_CLAMPED;
}

static uint8_t on_order(senda_client *client, void *context, const senda_order *order)
{
    senda_list values = order->values;
    senda_bytes name;
    senda_value value;
    if (order->kind == SENDA_CONFIG) return configure(client, context, values);
    if (order->kind == SENDA_ALERT) {
        printf("alert %s: %.*s\n", order->raised ? "raised" : "cleared", (int)order->text.len, (const char *)order->text.at);
        return SENDA_DONE_OK;
    }
    printf("command %" PRIu32 " %.*s\n", order->id, (int)order->name.len, (const char *)order->name.at);
    if (order->name.len == 8 && !memcmp(order->name.at, "read-now", 8)) {
        value = senda_i64(make_reading(client, context));
        return senda_answer(client, "row", &value) ? SENDA_DONE_OK : SENDA_DONE_FAILED;
    }
    if (order->name.len == 9 && !memcmp(order->name.at, "echo-args", 9)) {
        char copy[128];
        while (senda_next(&values, &name, &value)) {
            memcpy(copy, name.at, name.len);
            copy[name.len] = 0;
            senda_answer(client, copy, &value);
        }
        return SENDA_DONE_OK;
    }
    return SENDA_DONE_UNKNOWN;
}

static void on_event(void *context, const senda_event *event)
{
    (void)context;
    int len = (int)event->text.len;
    const char *text = len ? (const char *)event->text.at : "";
    switch (event->kind) {
    case SENDA_EVENT_WELCOME: printf("session, next row %" PRIu32 "\n", event->row); break;
    case SENDA_EVENT_STORED: printf("stored below row %" PRIu32 "\n", event->row); break;
    case SENDA_EVENT_DROPPED: printf("dropped row %" PRIu32 "\n", event->row); break;
    case SENDA_EVENT_REFUSED: printf("refused row %" PRIu32 ": %u %.*s\n", event->row, event->code, len, text); break;
    default: printf("session over: %u %.*s\n", event->code, len, text);
    }
    fflush(stdout);
}

static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
    (void)signal;
    stop = 1;
}

static int usage(void)
{
    fputs("usage: posix --tcp HOST:PORT | --udp HOST:PORT  [--device NAME] [--interval MS] [--count N]\n", stderr);
    return 2;
}

int main(int argc, char **argv)
{
    static uint8_t queue[16384];
    static senda_client client;
    struct network network = {NULL, NULL, false, -1};
    struct device device = {1000, 1000, 0};
    const char *name = "senda-c";
    uint32_t count = UINT32_MAX;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--tcp") || !strcmp(argv[i], "--udp")) {
            char *colon = strrchr(argv[i + 1], ':');
            if (!colon) return usage();
            *colon = 0;
            network.tcp = argv[i][2] == 't';
            network.host = argv[i + 1];
            network.port = colon + 1;
        } else if (!strcmp(argv[i], "--device")) {
            name = argv[i + 1];
        } else if (!strcmp(argv[i], "--interval")) {
            device.interval_ms = device.default_ms = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        } else if (!strcmp(argv[i], "--count")) {
            count = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        } else {
            return usage();
        }
    }
    if (argc % 2 == 0 || !network.host) return usage();

    senda_config config;
    memset(&config, 0, sizeof config);
    config.port.context = &network;
    config.port.open = network_open;
    config.port.send = network_send;
    config.port.receive = network_receive;
    config.port.random = network_random;
    config.tcp = network.tcp;
    config.device = name;
    config.schemas = &schema;
    config.schema_count = 1;
    config.queue = queue;
    config.queue_size = sizeof queue;
    config.accepts = SENDA_CONFIG | SENDA_COMMAND | SENDA_ALERT;
    config.on_order = on_order;
    config.on_event = on_event;
    config.context = &device;
    if (senda_init(&client, &config)) {
        fprintf(stderr, "posix: %s is not the name of a device\n", name);
        return 1;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);

    uint64_t due = clock_us(CLOCK_MONOTONIC) / 1000;
    for (;;) {
        uint64_t now = clock_us(CLOCK_MONOTONIC) / 1000;
        if (device.made < count && now >= due) {
            make_reading(&client, &device);
            due = now + device.interval_ms;
        }
        uint32_t pause = senda_poll(&client, (uint32_t)now);
        if (stop || (device.made >= count && !senda_pending(&client))) break;
        /* A new interval counts at once. */
        if (due > now + device.interval_ms) due = now + device.interval_ms;
        if (device.made < count && due - now < pause) pause = (uint32_t)(due - now);
        struct pollfd ready = {network.fd, POLLIN, 0};
        poll(&ready, 1, (int)pause);
    }
    senda_close(&client);
    return senda_pending(&client) != 0;
}
