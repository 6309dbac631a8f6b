// An ESP32 that reads one analogue pin a minute and hands the readings to a collector over UDP.
// Arduino core for ESP32: put senda.h and senda.c beside this file and fill in the four lines below.
#include <WiFi.h>
#include <esp_random.h>
#include <lwip/netdb.h>
#include <lwip/sockets.h>

#include "senda.h"

static const char *const WIFI_NAME = "...";
static const char *const WIFI_PASSWORD = "...";
static const char *const COLLECTOR = "collector.local";
static const char *const COLLECTOR_PORT = "4700";

static const int PIN = 34;
static uint32_t interval_ms = 60000;
static int fd = -1;

// ---- The port: lwIP's sockets ----

static int port_open(void *, bool up)
{
    if (fd >= 0) close(fd);
    fd = -1;
    if (!up) return 1;
    if (WiFi.status() != WL_CONNECTED) return 0; // asked again at the next poll
    struct addrinfo hints = {}, *found = nullptr;
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_DGRAM;
    if (getaddrinfo(COLLECTOR, COLLECTOR_PORT, &hints, &found) != 0 || !found) return -1;
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
        close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd < 0 ? -1 : 1;
}

static bool port_send(void *, const uint8_t *bytes, size_t len)
{
    // A datagram that finds no buffer is lost like any other, and sent again.
    return send(fd, bytes, len, 0) >= 0 || errno == ENOMEM || errno == ENOBUFS || errno == ECONNREFUSED;
}

static int port_receive(void *, uint8_t *bytes, size_t size)
{
    int len = (int)recv(fd, bytes, size, MSG_DONTWAIT);
    if (len >= 0) return len;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == ECONNREFUSED ? 0 : -1;
}

// With Wi-Fi on, esp_random is a true generator.
static uint64_t port_random(void *) { return (uint64_t)esp_random() << 32 | esp_random(); }

// ---- The device ----

static const senda_channel channels[] = {
    {"voltage", "mV", SENDA_U16, 0, 0, 1, 0, 0, nullptr},
    {"signal", "dBm", SENDA_I8, 0, 0, 1, 0, 0, nullptr},
};
static const senda_schema schema = {"esp32", 2, channels};
static uint8_t queue[8192]; // 8 hours of readings at one a minute
static senda_client client;
static senda_config config;

static void make_reading()
{
    senda_value values[] = {senda_u16((uint16_t)analogReadMilliVolts(PIN)), senda_i8((int8_t)WiFi.RSSI())};
    // Without the time of day the collector dates the rows by these.
    senda_add(&client, 0, SENDA_MONOTONIC, (int64_t)esp_timer_get_time(), values, 2);
}

static uint8_t on_order(senda_client *, void *, const senda_order *order)
{
    if (order->kind == SENDA_COMMAND) {
        if (order->name.len != 8 || memcmp(order->name.at, "read-now", 8) != 0) return SENDA_DONE_UNKNOWN;
        make_reading();
        return SENDA_DONE_OK;
    }
    senda_list settings = order->values;
    senda_bytes name;
    senda_value value;
    uint64_t wanted = 60000;
    while (senda_next(&settings, &name, &value)) {
        if (name.len != 11 || memcmp(name.at, "interval_ms", 11) != 0) continue;
        if (value.type != SENDA_U32 || value.elements != 1) return SENDA_DONE_REFUSED;
        wanted = senda_unsigned(&value, 0);
    }
    if (wanted < 100 || wanted > 86400000) return SENDA_DONE_REFUSED;
    interval_ms = (uint32_t)wanted;
    return SENDA_DONE_OK;
}

static void on_event(void *, const senda_event *event)
{
    Serial.printf("senda: event %u, row %u, code %u\n", (unsigned)event->kind, (unsigned)event->row, (unsigned)event->code);
}

void setup()
{
    Serial.begin(115200);
    WiFi.begin(WIFI_NAME, WIFI_PASSWORD);
    config.port.open = port_open;
    config.port.send = port_send;
    config.port.receive = port_receive;
    config.port.random = port_random;
    config.device = "esp32-1";
    config.schemas = &schema;
    config.schema_count = 1;
    config.queue = queue;
    config.queue_size = sizeof queue;
    config.accepts = SENDA_CONFIG | SENDA_COMMAND;
    config.on_order = on_order;
    config.on_event = on_event;
    if (senda_init(&client, &config) != 0) Serial.println("senda: the configuration is not possible");
}

void loop()
{
    static uint32_t last;
    uint32_t now = millis();
    if (now - last >= interval_ms) {
        last = now;
        make_reading();
    }
    uint32_t pause = senda_poll(&client, now);
    delay(pause < 20 ? pause : 20);
}
