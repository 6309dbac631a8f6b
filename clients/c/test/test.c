/* Tests of senda.c: the vectors of the specification, conversations on virtual time, and damaged bytes.
 *
 * The file under test is included, so that its own small functions can be asked too. */
#include "../senda.c"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned failures;

#define CHECK(claim)                                                                  \
    do {                                                                              \
        if (!(claim)) {                                                               \
            printf("test.c:%d: %s: not so: %s\n", __LINE__, running, #claim);         \
            failures++;                                                               \
        }                                                                             \
    } while (0)

/* The test under way, for the reader of a failure. */
static const char *running = "";

/* ---- A network and a collector for one client ---- */

#define SESSION 0x51B27E04u

struct message {
    size_t len;
    uint8_t bytes[1300];
};

static struct {
    int open;          /* what opening comes to */
    bool up, deaf;     /* deaf: sending fails */
    uint64_t dice;
    unsigned said, read, posted, taken;
    struct message out[200], in[40];
} net;

static int net_open(void *context, bool up)
{
    (void)context;
    net.up = up && net.open > 0;
    return net.open;
}

static bool net_send(void *context, const uint8_t *bytes, size_t len)
{
    (void)context;
    CHECK(net.up && len <= SENDA_MESSAGE_MAX && net.said < 200);
    if (net.deaf || net.said == 200) return false;
    CHECK(frame_at(bytes, (unsigned)len, false) == TAKEN && get16(bytes + 2) == len);
    net.out[net.said].len = len;
    memcpy(net.out[net.said++].bytes, bytes, len);
    return true;
}

static int net_receive(void *context, uint8_t *bytes, size_t size)
{
    (void)context;
    if (net.taken == net.posted) return 0;
    struct message *message = &net.in[net.taken++];
    if (!message->len) return -1;
    size_t len = message->len < size ? message->len : size;
    memcpy(bytes, message->bytes, len);
    return (int)len;
}

static uint64_t net_random(void *context)
{
    (void)context;
    net.dice ^= net.dice << 13;
    net.dice ^= net.dice >> 7;
    net.dice ^= net.dice << 17;
    return net.dice;
}

static const char *const doors[] = {"closed", "open"};
static const senda_channel channels[] = {
    {"temperature", "Cel", SENDA_I16, -1, 0, 1, 0, 0, NULL},
    {"humidity", "%RH", SENDA_U8, 0, 0, 1, 0, 0, NULL},
    {"door", NULL, SENDA_ENUM8, 0, 0, 1, 0, 2, doors},
};
static const senda_channel note[] = {{"note", "", SENDA_TEXT, 0, 0, 1, 20, 0, NULL}};
static const senda_schema schemas[] = {{"greenhouse", 3, channels}, {"notes", 1, note}};

static senda_client client;
static senda_config config;
static uint8_t queue[400];
static uint32_t now;
static senda_event events[300];
static unsigned event_count;

static void on_event(void *context, const senda_event *event)
{
    (void)context;
    if (event_count < 300) events[event_count++] = *event;
}

static unsigned count_events(unsigned kind)
{
    unsigned count = 0;
    for (unsigned i = 0; i < event_count; i++) count += events[i].kind == kind;
    return count;
}

/* Of the newest event of a kind. */
static senda_event last_event(unsigned kind)
{
    senda_event last = {255, 0, 0, {NULL, 0}};
    for (unsigned i = 0; i < event_count; i++) {
        if (events[i].kind == kind) last = events[i];
    }
    return last;
}

static void reset(const char *name, bool tcp)
{
    running = name;
    memset(&net, 0, sizeof net);
    net.open = 1;
    net.dice = 88172645463325252u;
    senda_port port = {NULL, net_open, net_send, net_receive, net_random};
    memset(&config, 0, sizeof config);
    config.port = port;
    config.tcp = tcp;
    config.device = "gh-7";
    config.schemas = schemas;
    config.schema_count = 2;
    config.queue = queue;
    config.queue_size = sizeof queue;
    config.on_event = on_event;
    event_count = 0;
    now = 0xFFFFFF00u; /* soon it wraps */
    CHECK(senda_init(&client, &config) == 0);
}

static uint32_t after(uint32_t ms) { return senda_poll(&client, now += ms); }

static void post_bytes(const uint8_t *bytes, size_t len)
{
    CHECK(net.posted < 40);
    net.in[net.posted].len = len;
    if (len) memcpy(net.in[net.posted].bytes, bytes, len);
    net.posted++;
}

static size_t make(uint8_t *message, unsigned type, uint32_t session, uint32_t seq, const void *body, size_t len)
{
    message[0] = 0xA1;
    message[1] = (uint8_t)type;
    put16(message + 2, (unsigned)len + 16);
    put32(message + 4, session);
    put32(message + 8, seq);
    memcpy(message + 12, body, len);
    put32(message + 12 + len, crc_of(message, (unsigned)len + 12));
    return len + 16;
}

static void post(unsigned type, uint32_t session, uint32_t seq, const void *body, size_t len)
{
    uint8_t message[1300];
    post_bytes(message, make(message, type, session, seq, body, len));
}

static void post_ack(uint32_t seq, uint32_t window, unsigned retry)
{
    uint8_t body[10] = {0};
    put32(body, window);
    put16(body + 6, retry);
    post(ACK, SESSION, seq, body, 10);
}

static void post_nack(unsigned type, uint32_t seq, unsigned code, uint32_t count, uint32_t retry)
{
    uint8_t body[18] = {0};
    body[0] = (uint8_t)type;
    put16(body + 1, code);
    put32(body + 3, seq);
    put32(body + 7, count);
    put32(body + 11, retry);
    memcpy(body + 15, "\2no", 3);
    post(NACK, SESSION, seq, body, 18);
}

static void post_close(uint32_t session, uint32_t seq, unsigned code, uint32_t retry)
{
    uint8_t body[7] = {0};
    put16(body, code);
    put32(body + 2, retry);
    post(CLOSE, session, seq, body, 7);
}

/* The next message that the client has sent; of this type. */
static const uint8_t *said(unsigned type)
{
    static const uint8_t nothing[1300];
    if (net.read == net.said) {
        printf("%s: waited in vain for a message of type 0x%02x\n", running, type);
        failures++;
        return nothing;
    }
    const uint8_t *bytes = net.out[net.read++].bytes;
    if (bytes[1] != type) {
        printf("%s: a message of type 0x%02x, not 0x%02x\n", running, bytes[1], type);
        failures++;
    }
    return bytes;
}

static bool nothing_said(void) { return net.read == net.said; }

static void post_welcome(const uint8_t *hello, uint32_t next, uint32_t high, uint32_t window, uint32_t keepalive)
{
    uint8_t body[58] = {0};
    put32(body + 8, next);
    put32(body + 12, high);
    put32(body + 24, window);
    put16(body + 28, 1200);
    body[31] = 1;
    put32(body + 36, keepalive);
    post(WELCOME, SESSION, get32(hello + 12 + 12), body, 58);
}

static void welcome(uint32_t next, uint32_t high)
{
    post_welcome(said(HELLO), next, high, 1000, 30);
    after(0);
}

static void declared(uint32_t id)
{
    const uint8_t *declare = said(DECLARE);
    CHECK(get32(declare + 8) == id && declare[12] == 0 && declare[13] == 1);
    post(DECLARED, SESSION, id, declare + 14, 4);
    after(0);
}

/* A session without rows. */
static void join(const char *name, bool tcp)
{
    reset(name, tcp);
    after(0);
    welcome(0, 0);
    CHECK(client.state == SERVING && nothing_said());
}

static int64_t reading(int64_t time)
{
    senda_value values[] = {senda_i16((int16_t)(time % 1000)), senda_u8(61), senda_enum(1)};
    return senda_add(&client, 0, SENDA_UTC_SYNCED, time, values, 3);
}

/* A session, its schema declared, and one row on its way. */
static void row_on_its_way(const char *name, bool tcp)
{
    join(name, tcp);
    CHECK(reading(1000) == 0);
    after(0);
    declared(0);
    CHECK(get32(said(ROWS) + 8) == 0 && nothing_said());
}

static void expect_skip(uint32_t first, uint32_t count, unsigned cause)
{
    const uint8_t *skip = said(SKIP);
    CHECK(skip[0] == 0xA5 && get32(skip + 8) == first && get32(skip + 12) == count && skip[16] == cause && !skip[17] && !skip[18]);
}

/* ---- Vectors: 17 ---- */

struct heard_case {
    const char *name, *type, *error, *from;
    unsigned len;
    const uint8_t *bytes;
};
struct hello_case {
    const char *name;
    unsigned len;
    const uint8_t *bytes;
    uint64_t stream, nonce;
    uint32_t next, oldest, keepalive;
    uint8_t accepts;
    uint32_t config_rev, last_command_id;
    const char *device;
    uint8_t cookie_len;
    const char *cookie;
};
struct schema_case {
    const char *name;
    const senda_schema *schema;
    unsigned len;
    const uint8_t *bytes;
};
struct rows_case {
    const char *name;
    unsigned len;
    const uint8_t *bytes;
    const senda_schema *schema;
    uint8_t id;
    uint32_t seq;
    void (*add)(senda_client *);
};
struct skip_case {
    const char *name;
    unsigned len;
    const uint8_t *bytes;
    uint32_t seq, count;
    unsigned cause;
};
struct done_case {
    const char *name;
    unsigned len;
    const uint8_t *bytes;
    uint32_t seq;
    uint8_t type;
    uint32_t id;
    uint8_t status;
    void (*answer)(senda_client *);
};
struct token_case {
    const char *name;
    unsigned len;
    const uint8_t *bytes;
};

/* Text that may hold zeros. */
static senda_value some_text(const char *text, uint16_t len)
{
    senda_value value = senda_blob(text, len);
    value.type = SENDA_TEXT;
    return value;
}

#include "vectors.h"


static const struct {
    const char *error;
    enum verdict verdict;
} verdicts[] = {{"", TAKEN}, {"incomplete", INCOMPLETE}, {"bad_magic", BAD_MAGIC}, {"404", BAD_MAGIC},
                {"bad_length", BAD_LENGTH}, {"bad_trailer", BAD_TRAILER}, {"bad_crc", BAD_CRC}, {"unknown_type", SKIPPED},
                {"wrong_direction", SKIPPED}, {"bad_body", BAD_BODY}};

static enum verdict verdict_of(const char *error)
{
    for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
        if (!strcmp(error, verdicts[i].error)) return verdicts[i].verdict;
    }
    CHECK(error == NULL); /* one that this test does not know */
    return TAKEN;
}

static uint8_t answer_ok(senda_client *c, void *context, const senda_order *order)
{
    (void)c;
    (void)context;
    (void)order;
    return SENDA_DONE_OK;
}

/* A client to whom this message may have been sent. */
static void expect_message(const struct heard_case *it)
{
    reset(it->name, false);
    config.accepts = 7;
    config.on_order = answer_ok;
    after(0);
    bool greeting = it->bytes[1] == RETRY || it->bytes[1] == WELCOME;
    client.state = greeting ? GREETING : SERVING;
    client.session = greeting ? 0 : get32(it->bytes + 4);
    client.nonce = get32(it->bytes + 8);
    client.next = client.hello_next = STREAM_END;
}

/* 3.7: each message that a collector may send is judged as the specification says. */
static void test_heard_vectors(void)
{
    unsigned judged = 0, outside = 0;
    for (size_t i = 0; i < sizeof heard_cases / sizeof *heard_cases; i++) {
        const struct heard_case *it = &heard_cases[i];
        enum verdict expected = verdict_of(it->error), verdict = frame_at(it->bytes, it->len, false);
        running = it->name;
        judged++;
        if (expected >= INCOMPLETE && expected <= BAD_CRC) {
            CHECK(verdict == expected);
            continue;
        }
        CHECK(verdict == TAKEN);
        if (!strcmp(it->from, "device")) continue; /* only the frame says something about us */
        if (!strcmp(it->type, "REPORT") || !strcmp(it->type, "TIME")) expected = SKIPPED, outside++;
        expect_message(it);
        uint8_t copy[1300];
        memcpy(copy, it->bytes, it->len);
        CHECK(handle(&client, copy, it->len) == expected);
    }
    printf("%u messages of the vectors judged (REPORT and TIME, which the simple profile skips: %u)\n", judged, outside);
    CHECK(judged >= 140);
}

/* Header without flags, and body. */
static void expect_bytes(const uint8_t *bytes, unsigned len, const uint8_t *expected, unsigned expected_len)
{
    CHECK(len == expected_len && !memcmp(bytes + 1, expected + 1, expected_len - 5));
}

static const struct done_case *done_now;

static uint8_t answer_vector(senda_client *c, void *context, const senda_order *order)
{
    (void)context;
    CHECK(order->id == done_now->id);
    done_now->answer(c);
    return done_now->status;
}

/* What a device of the simple profile can say comes out byte by byte as the specification has it. */
static void test_said_vectors(void)
{
    unsigned said_cases = 0;
    for (size_t i = 0; i < sizeof hello_cases / sizeof *hello_cases; i++, said_cases++) {
        const struct hello_case *it = &hello_cases[i];
        reset(it->name, false);
        config.device = it->device;
        config.accepts = it->accepts;
        after(0);
        client.stream = it->stream;
        client.nonce = it->nonce;
        client.next = it->next;
        client.oldest = it->oldest;
        client.keepalive_ms = it->keepalive * 1000;
        client.config_rev = it->config_rev;
        client.last_command_id = it->last_command_id;
        client.cookie_len = it->cookie_len;
        memcpy(client.cookie, it->cookie, it->cookie_len);
        send_hello(&client);
        expect_bytes(net.out[net.said - 1].bytes, (unsigned)net.out[net.said - 1].len, it->bytes, it->len);
    }
    for (size_t i = 0; i < sizeof schema_cases / sizeof *schema_cases; i++, said_cases++) {
        const struct schema_case *it = &schema_cases[i];
        unsigned row;
        reset(it->name, false);
        uint8_t *end = describe(&client, it->schema, &row);
        CHECK(end == client.out + DESCRIPTION + it->len && !memcmp(client.out + DESCRIPTION, it->bytes, it->len));
    }
    for (size_t i = 0; i < sizeof rows_cases / sizeof *rows_cases; i++, said_cases++) {
        const struct rows_case *it = &rows_cases[i];
        static senda_schema all[64];
        static uint8_t room[20000];
        reset(it->name, false);
        for (unsigned id = 0; id <= it->id; id++) all[id] = *it->schema;
        config.schemas = all;
        config.schema_count = (uint8_t)(it->id + 1);
        config.queue = room;
        config.queue_size = sizeof room;
        after(0);
        client.session = get32(it->bytes + 4);
        client.state = SERVING;
        client.window = 1000;
        client.next = client.oldest = client.mark = it->seq;
        it->add(&client);
        client.declared = UINT64_MAX;
        choose(&client);
        expect_bytes(net.out[net.said - 1].bytes, (unsigned)net.out[net.said - 1].len, it->bytes, it->len);
    }
    for (size_t i = 0; i < sizeof skip_cases / sizeof *skip_cases; i++, said_cases++) {
        const struct skip_case *it = &skip_cases[i];
        reset(it->name, false);
        after(0);
        client.session = SESSION;
        client.mark = it->seq;
        client.oldest = client.next = it->seq + it->count;
        if (it->cause == LOST) client.settled = client.oldest;
        if (it->cause == REJECTED) client.rejected = client.oldest;
        send_skip(&client);
        expect_bytes(net.out[net.said - 1].bytes, (unsigned)net.out[net.said - 1].len, it->bytes, it->len);
    }
    for (size_t i = 0; i < sizeof done_cases / sizeof *done_cases; i++, said_cases++) {
        done_now = &done_cases[i];
        join(done_now->name, false);
        config.accepts = 7;
        config.on_order = answer_vector;
        uint8_t body[30] = {0}; /* CONFIG, or ALERT; of COMMAND the name is "x" */
        put32(body, done_now->id);
        if (done_now->type == COMMAND) memcpy(body + 8, "\1x", 2);
        post(done_now->type, SESSION, done_now->seq, body, done_now->type == CONFIG ? 5 : done_now->type == COMMAND ? 11 : 18);
        after(0);
        expect_bytes(said(DONE), (unsigned)net.out[net.said - 1].len, done_now->bytes, done_now->len);
    }
    for (size_t i = 0; i < sizeof token_cases / sizeof *token_cases; i++, said_cases++) {
        const struct token_case *it = &token_cases[i];
        join(it->name, false);
        client.session = get32(it->bytes + 4);
        if (it->bytes[1] == PONG) {
            post(PING, client.session, get32(it->bytes + 8), it->bytes + 12, 8);
            after(0);
        } else if (it->bytes[1] == PING) { /* its counter and token are the sender's to choose */
            after(30000);
            CHECK(net.said && net.out[net.said - 1].len == it->len && net.out[net.said - 1].bytes[1] == PING);
            continue;
        } else {
            send_close(&client, get16(it->bytes + 12));
        }
        expect_bytes(net.out[net.said - 1].bytes, (unsigned)net.out[net.said - 1].len, it->bytes, it->len);
    }
    printf("%u messages and schemas of the vectors made from their fields; %d are beyond this client\n", said_cases, LEFT_OUT);
    CHECK(said_cases >= 78);
}

/* ---- Conversations ---- */

static void test_values_are_read_as_they_were_written(void)
{
    uint8_t wire[512];
    const int16_t shorts[] = {-2, 3, INT16_MIN};
    const double doubles[] = {-0.0, 1e308};
    senda_value all[] = {
        senda_bool(true), senda_u8(255), senda_u16(65535), senda_u32(UINT32_MAX), senda_u64(UINT64_MAX), senda_i8(-128),
        senda_i16(INT16_MIN), senda_i32(INT32_MIN), senda_i64(INT64_MIN), senda_f32(-1.5f), senda_f64(2.5), senda_text("h\xC3\xB6"),
        senda_blob("\0x", 2), senda_time(-1), senda_vector(SENDA_I16, 3, shorts, wire), senda_vector(SENDA_F64, 2, doubles, wire + 6),
    };
    uint8_t list[400];
    senda_bytes name;
    senda_value it;
    running = __func__;
    uint8_t *to = list;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        *to++ = 1;
        *to++ = 'x';
        *to++ = all[i].type;
        *to++ = 0;
        *to++ = all[i].elements;
        to = put_value(to, list + sizeof list, &all[i]);
    }
    senda_list rest = {{list, (uint32_t)(to - list)}, sizeof all / sizeof *all};
    const uint64_t numbers[] = {1, 255, 65535, UINT32_MAX, UINT64_MAX};
    for (unsigned i = 0; i < 5; i++) CHECK(senda_next(&rest, &name, &it) && senda_unsigned(&it, 0) == numbers[i]);
    const int64_t integers[] = {-128, INT16_MIN, INT32_MIN, INT64_MIN};
    for (unsigned i = 0; i < 4; i++) CHECK(senda_next(&rest, &name, &it) && senda_signed(&it, 0) == integers[i]);
    CHECK(senda_next(&rest, &name, &it) && senda_float(&it, 0) == -1.5f);
    CHECK(senda_next(&rest, &name, &it) && senda_double(&it, 0) == 2.5);
    CHECK(senda_next(&rest, &name, &it) && it.type == SENDA_TEXT && it.len == 3 && !memcmp(it.data, "h\xC3\xB6", 3));
    CHECK(senda_next(&rest, &name, &it) && it.type == SENDA_BLOB && it.len == 2 && !memcmp(it.data, "\0x", 2));
    CHECK(senda_next(&rest, &name, &it) && senda_signed(&it, 0) == -1);
    CHECK(senda_next(&rest, &name, &it) && it.elements == 3);
    for (unsigned i = 0; i < 3; i++) CHECK(senda_signed(&it, i) == shorts[i]);
    CHECK(senda_next(&rest, &name, &it) && senda_double(&it, 1) == 1e308 && 1 / senda_double(&it, 0) < 0);
    CHECK(!senda_next(&rest, &name, &it) && !rest.rest.len);
}

static void test_hello_repeats_after_1_1_1_2_4_seconds_and_with_the_cookie(void)
{
    const uint32_t waits[] = {1000, 1000, 1000, 2000, 4000, 8000};
    reset(__func__, false);
    after(0);
    const uint8_t *first = said(HELLO);
    for (unsigned i = 0; i < 6; i++) {
        after(waits[i] - 1);
        CHECK(nothing_said());
        after(waits[i] / 2 + 1);
        CHECK(!memcmp(first, said(HELLO), 68));
    }
    post(RETRY, 0, get32(first + 24) + 1, "\4evil", 5);
    post(RETRY, 0, get32(first + 24), "\6cookie", 7);
    post(RETRY, 0, get32(first + 24), "\6cookie", 7);
    after(1);
    const uint8_t *second = said(HELLO);
    CHECK(!memcmp(first + 12, second + 12, 51) && !memcmp(second + 63, "\6cookie", 7) && nothing_said());
    /* At most three RETRYs are answered at once: 6.3c. */
    char cookie[] = "\1a";
    for (int i = 0; i < 5; i++) {
        cookie[1]++;
        post(RETRY, 0, get32(first + 24), cookie, 2);
        after(1);
    }
    said(HELLO);
    said(HELLO);
    CHECK(nothing_said());
    after(2000);
    CHECK(said(HELLO)[64] == cookie[1]);
}

static void test_rows_are_sent_resent_and_forgotten_on_udp(void)
{
    row_on_its_way(__func__, false);
    uint8_t first[60];
    memcpy(first, net.out[net.said - 1].bytes, 44);
    CHECK(first[0] == 0xA5 && senda_pending(&client) == 1);
    const uint32_t waits[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    for (unsigned i = 0; i < 8; i++) {
        after(waits[i] - 1);
        while (net.read < net.said && net.out[net.read].bytes[1] == PING) net.read++;
        CHECK(nothing_said());
        after(waits[i] / 2 + 1);
        if (i < 7) CHECK(!memcmp(first, said(ROWS), 32));
        while (net.read < net.said && net.out[net.read].bytes[1] == PING) net.read++;
    }
    /* 8 time-outs: HELLO with another nonce, of the same stream. */
    CHECK(client.state == WAITING && last_event(SENDA_EVENT_CLOSED).code == 0);
    after(1500);
    const uint8_t *hello = said(HELLO);
    CHECK(!memcmp(hello + 12, net.out[0].bytes + 12, 8) && memcmp(hello + 20, net.out[0].bytes + 20, 8));
    CHECK(get32(hello + 28) == 1 && get32(hello + 32) == 0);
    post_welcome(hello, 0, 0, 1000, 30);
    after(0);
    CHECK(get32(said(ROWS) + 8) == 0); /* declared already: 5.4c */
    post_ack(1, 1000, 0);
    after(0);
    CHECK(senda_pending(&client) == 0 && last_event(SENDA_EVENT_STORED).row == 1 && client.used == 0);
    after(1000);
    CHECK(nothing_said());
}

static void test_nothing_goes_again_on_tcp_but_in_a_new_session(void)
{
    row_on_its_way(__func__, true);
    for (int i = 0; i < 10; i++) after(5000), post(PONG, SESSION, 0, "12345678", 8);
    while (net.read < net.said) said(PING);
    post_bytes(NULL, 0); /* the connection is lost */
    after(0);
    CHECK(client.state == WAITING && !net.up);
    after(1500);
    welcome(0, 0);
    CHECK(get32(said(ROWS) + 8) == 0);
    post_bytes(NULL, 0);
    after(0);
    after(1500);
    welcome(1, 1); /* stored after all */
    CHECK(nothing_said() && senda_pending(&client) == 0);
}

static void test_rows_that_wait_go_together_while_schema_and_clock_last(void)
{
    senda_value text = senda_text("hi");
    row_on_its_way(__func__, false);
    reading(5000000);
    reading(5000100);
    reading(4999999); /* the clock was set back */
    CHECK(senda_add(&client, 1, SENDA_NO_CLOCK, 7, &text, 1) == 4);
    post_ack(1, 1000, 0);
    after(0);
    const uint8_t *rows = said(ROWS);
    CHECK(get32(rows + 8) == 1 && get16(rows + 14) == (3 << 14 | 2) && get32(rows + 24) == 0 && get32(rows + 32) == 100);
    post_ack(3, 1000, 0);
    after(0);
    CHECK(get32(said(ROWS) + 8) == 3);
    post_ack(4, 1000, 0);
    after(0);
    declared(1);
    rows = said(ROWS);
    CHECK(get16(rows + 12) == 1 && get16(rows + 14) == 1 && senda_read(rows + 16, 8) == 0 && !memcmp(rows + 24, "\2hi", 3));
}

static void test_a_full_queue_drops_the_oldest_and_says_so(void)
{
    row_on_its_way(__func__, false);
    for (int i = 0; i < 40; i++) CHECK(reading(2000 + i) == 1 + i);
    unsigned dropped = count_events(SENDA_EVENT_DROPPED);
    CHECK(dropped == 41 - 400 / 15 && last_event(SENDA_EVENT_DROPPED).row == dropped - 1);
    after(1500);
    expect_skip(0, dropped, OVERFLOWED);
    post_ack(0, 1000, 0);
    after(0);
    CHECK(nothing_said());
    post_ack(dropped, 1000, 0);
    after(0);
    CHECK(get32(said(ROWS) + 8) == dropped);
    /* A row that was dropped here and stored there needs no SKIP. */
    for (int i = 0; i < 3; i++) reading(3000);
    post_ack(41, 1000, 0);
    after(0);
    CHECK(get32(said(ROWS) + 8) == 41 && senda_pending(&client) == 3);
}

static void test_a_restored_collector_is_told_what_is_lost(void)
{
    row_on_its_way(__func__, false);
    post_ack(1, 1000, 0);
    after(0);
    for (int i = 0; i < 30; i++) reading(2000); /* rows 1 to 30; some are dropped */
    uint32_t oldest = client.oldest;
    CHECK(oldest > 1);
    post_close(SESSION, 0, 401, 0);
    net.said = net.read = 0;
    after(0);
    after(11500); /* up to 10 s after a 401 */
    welcome(0, 0);
    expect_skip(0, 1, LOST); /* it had this one */
    post_ack(1, 1000, 0);
    after(0);
    expect_skip(1, oldest - 1, OVERFLOWED);
    post_ack(oldest, 1000, 0);
    after(0);
    CHECK(get32(said(ROWS) + 8) == oldest);
}

static void test_nacks_by_class(void)
{
    row_on_its_way(__func__, true);
    post_nack(ROWS, 0, 103, 1, 5000);
    after(0);
    after(5000);
    CHECK(nothing_said() && last_event(SENDA_EVENT_REFUSED).code == 103);
    after(1400);
    CHECK(get32(said(ROWS) + 8) == 0);
    post_nack(ROWS, 0, 201, 1, 0);
    after(0);
    declared(0);
    CHECK(get32(said(ROWS) + 8) == 0);
    post_nack(ROWS, 0, 301, 1, 0); /* resolved: the ACK follows */
    after(0);
    CHECK(nothing_said() && senda_pending(&client) == 1);
    post_ack(1, 1000, 0);
    after(0);
    reading(1);
    after(0);
    said(ROWS);
    post_nack(ROWS, 1, 303, 0, 0); /* nothing is resolved */
    after(0);
    expect_skip(1, 1, REJECTED);
    post_nack(SKIP, 1, 299, 0, 0); /* not even that: there must be an end to it */
    after(0);
    CHECK(client.state == WAITING);
    after(1500);
    welcome(1, 1);
    expect_skip(1, 1, REJECTED);
    post_ack(2, 1000, 0);
    after(0);
    senda_value text = senda_text("hi");
    senda_add(&client, 1, 0, 0, &text, 1);
    reading(1);
    after(0);
    said(DECLARE);
    post_nack(DECLARE, 1, 205, 0, 0); /* this schema can't be sent; the other goes on */
    after(0);
    expect_skip(2, 1, REJECTED);
    post_ack(3, 1000, 0);
    after(0);
    CHECK(get32(said(ROWS) + 8) == 3);
    post_nack(ROWS, 2, 103, 1, 0); /* of another message */
    after(0);
    CHECK(client.flight == ROWS);
}

static void test_a_schema_conflict_begins_a_new_stream(void)
{
    join(__func__, false);
    uint64_t stream = client.stream;
    reading(1);
    after(0);
    said(DECLARE);
    post_nack(DECLARE, 0, 202, 0, 0);
    after(0);
    CHECK(get16(said(CLOSE) + 12) == 407 && client.stream != stream && senda_pending(&client) == 1);
}

static void test_a_closed_window_lets_one_row_through_as_a_probe(void)
{
    row_on_its_way(__func__, false);
    reading(1);
    reading(2);
    post_ack(1, 0, 3000);
    after(0);
    after(2900);
    CHECK(nothing_said());
    after(1000);
    const uint8_t *rows = said(ROWS);
    CHECK(get32(rows + 8) == 1 && get16(rows + 14) == (3 << 14 | 1));
    post_ack(2, 1, 0);
    after(0);
    CHECK(get16(said(ROWS) + 14) == (3 << 14 | 1));
    reading(3);
    reading(4);
    post_ack(3, 1, 0); /* a window of one */
    after(0);
    CHECK(get16(said(ROWS) + 14) == (3 << 14 | 1));
}

static void test_a_copied_memory_image_draws_a_new_stream(void)
{
    reset(__func__, false);
    uint64_t stream = client.stream;
    reading(7);
    after(0);
    welcome(0, 2); /* the collector has more than we ever numbered */
    const uint8_t *close = said(CLOSE);
    CHECK(get16(close + 12) == 407 && get32(close + 4) == SESSION && client.stream != stream);
    after(1500);
    const uint8_t *hello = said(HELLO);
    CHECK(senda_read(hello + 12, 8) == client.stream && get32(hello + 28) == 1);
    net.read--;
    welcome(0, 0);
    declared(0);
    CHECK(get32(said(ROWS) + 8) == 0);
    after(60001);          /* ... and no HELLO of ours is under way any more */
    net.read = net.said;
    stream = client.stream;
    post_close(SESSION, 0, 402, 0);
    after(0);
    CHECK(client.stream != stream && client.state == WAITING && senda_pending(&client) == 1);
}

static void test_a_replaced_session_after_a_hello_given_up_keeps_its_stream_once(void)
{
    reset(__func__, true);
    after(0);
    said(HELLO);
    post_bytes(NULL, 0);
    after(0);
    after(1500);
    welcome(0, 0);
    uint64_t stream = client.stream;
    post_close(SESSION, 0, 402, 0);
    after(0);
    CHECK(client.stream == stream);
    after(1500);
    welcome(0, 0);
    post_close(SESSION, 0, 402, 0);
    after(0);
    CHECK(client.stream != stream);
}

static void test_closes_that_are_not_ours_are_ignored(void)
{
    row_on_its_way(__func__, false);
    post_close(SESSION + 1, 0, 401, 0);
    post_close(0, 0, 406, 0); /* on UDP */
    post_close(0, (uint32_t)client.nonce, 409, 0);
    after(0);
    CHECK(client.state == SERVING);
    post_close(SESSION, 0, 101, 100000);
    after(0);
    CHECK(client.state == WAITING && last_event(SENDA_EVENT_CLOSED).code == 101);
    after(100900);
    CHECK(nothing_said());
    after(26000);
    const uint8_t *hello = said(HELLO);
    post_close(0, get32(hello + 24) + 1, 409, 0);
    after(0);
    CHECK(client.state == GREETING);
    post_close(0, get32(hello + 24), 409, 0);
    after(0);
    CHECK(client.state == WAITING);
}

static void test_ping_is_answered_and_said_when_idle(void)
{
    join(__func__, true);
    post(PING, SESSION, 77, "a token.", 8);
    CHECK(after(0) <= 30000);
    const uint8_t *pong = said(PONG);
    CHECK(get32(pong + 8) == 77 && !memcmp(pong + 12, "a token.", 8));
    CHECK(after(29999) <= 1);
    CHECK(nothing_said());
    after(1);
    said(PING);
    after(30000);
    said(PING);
    CHECK(client.state == SERVING);
    after(15000); /* 75 s of silence on TCP: 6.6 */
    CHECK(client.state == WAITING);
}

static void test_on_udp_silence_is_no_end(void)
{
    join(__func__, false);
    for (int i = 0; i < 10; i++) after(30000);
    CHECK(client.state == SERVING);
}

static void test_tcp_bytes_may_come_one_by_one_and_together(void)
{
    uint8_t both[64];
    row_on_its_way(__func__, true);
    size_t len = make(both, PING, SESSION, 1, "a token.", 8);
    len += make(both + len, ACK, SESSION, 1, "", 0);
    for (size_t i = 0; i < len; i++) {
        net.posted = net.taken = 0;
        post_bytes(both + i, 1);
        after(0);
    }
    said(PONG);
    CHECK(senda_pending(&client) == 0);
    reading(1);
    after(0);
    said(ROWS);
    put32(both + 24 + 8, 2);
    put32(both + 24 + 12, crc_of(both + 24, 12));
    net.posted = net.taken = 0;
    post_bytes(both, len);
    after(0);
    said(PONG);
    CHECK(senda_pending(&client) == 0);
}

static void test_a_lost_frame_ends_the_connection_on_tcp_and_nothing_on_udp(void)
{
    for (int tcp = 0; tcp < 2; tcp++) {
        row_on_its_way(__func__, tcp);
        uint8_t bad[64];
        size_t len = make(bad, ACK, SESSION, 1, "", 0);
        bad[len - 1] ^= 1;
        len += make(bad + len, ACK, SESSION, 1, "", 0); /* behind it nothing is read: 3.4b */
        post_bytes(bad, len);
        after(0);
        CHECK(senda_pending(&client) == 1);
        if (!tcp) {
            CHECK(nothing_said() && client.state == SERVING);
            continue;
        }
        const uint8_t *close = said(CLOSE);
        CHECK(get32(close + 4) == 0 && get16(close + 12) == 406 && client.state == WAITING && !net.up);
    }
}

static unsigned orders;
static senda_order last_order;

static uint8_t on_command_test(senda_client *c, void *context, const senda_order *order)
{
    senda_value it, big = senda_blob(c->in, 300);
    senda_bytes name;
    (void)context;
    orders++;
    last_order = *order;
    if (order->kind == SENDA_CONFIG) return SENDA_DONE_REFUSED;
    CHECK(order->kind != SENDA_COMMAND || c->last_command_id == order->id); /* noted before it is begun */
    senda_list arguments = order->values;
    while (senda_next(&arguments, &name, &it)) CHECK(senda_answer(c, "echo", &it));
    if (order->id == 66) {
        while (senda_answer(c, "big", &big)) continue;
    }
    CHECK(reading(5) >= 0);
    return SENDA_DONE_OK;
}

static void test_a_command_is_done_once_and_answered_as_often_as_it_comes(void)
{
    const uint8_t command[] = "\0\0\0\5\0\0\1\0\4echo\1\0\7\0\2\xFF\xFE\0\3"; /* a vector of two i16 */
    reset(__func__, false);
    config.accepts = SENDA_COMMAND | SENDA_CONFIG;
    config.on_order = on_command_test;
    orders = 0;
    after(0);
    welcome(0, 0);
    for (int i = 0; i < 2; i++) {
        post(COMMAND, SESSION, 3, command, sizeof command - 1);
        after(0);
    }
    uint8_t done[60];
    memcpy(done, said(DONE), 46);
    CHECK(orders == 1 && last_order.ttl_ms == 256 && last_order.name.len == 4 && !memcmp(done + 12, "\x31\0\0\0\5\0\0\1\4echo\7\0\2\xFF\xFE\0\3", 20));
    CHECK(said(DECLARE) && !memcmp(done, said(DONE), get16(done + 2)));
    post(COMMAND, SESSION, 2, command, sizeof command - 1); /* a lower number */
    post(COMMAND, SESSION, 0, command, sizeof command - 1);
    after(0);
    CHECK(nothing_said() && orders == 1);
    post(COMMAND, SESSION, 9, command, sizeof command - 1); /* the id again, under another number */
    after(0);
    CHECK(orders == 1 && said(DONE)[17] == SENDA_DONE_REFUSED);
    uint8_t next[sizeof command];
    memcpy(next, command, sizeof next);
    next[3] = 66;
    post(COMMAND, SESSION, 10, next, sizeof command - 1);
    after(0);
    CHECK(orders == 2);
    const uint8_t *failed = said(DONE);
    CHECK(failed[17] == SENDA_DONE_FAILED && failed[18] == 0 && failed[19] == 0 && get16(failed + 2) == 24);
    /* A REFUSED configuration is not in force, and a kind that was not accepted is answered, lest it come for ever. */
    post(CONFIG, SESSION, 11, "\0\0\0\7\0", 5);
    after(0);
    CHECK(said(DONE)[17] == SENDA_DONE_REFUSED && client.config_rev == 0);
    post(ALERT, SESSION, 12, "\0\0\0\7\0\0\0\0\0\0\0\0\1\2\0\0\0\0", 18);
    after(0);
    CHECK(said(DONE)[17] == SENDA_DONE_UNKNOWN && orders == 3);
    /* HELLO says what was begun; control numbers begin anew. */
    post_close(SESSION, 0, 407, 1);
    after(0);
    after(1600);
    const uint8_t *hello = said(HELLO);
    CHECK(hello[12 + 35] == 3 && get32(hello + 12 + 42) == 66);
    net.read--;
    welcome(0, 0);
    said(DECLARE);
    next[3] = 67;
    post(COMMAND, SESSION, 1, next, sizeof command - 1);
    after(0);
    CHECK(said(DONE)[17] == SENDA_DONE_OK && orders == 4);
}

static uint8_t take_config(senda_client *c, void *context, const senda_order *order)
{
    uint32_t *interval = context;
    senda_list settings = order->values;
    senda_bytes name;
    senda_value it;
    *interval = 1000;
    while (senda_next(&settings, &name, &it)) {
        if (name.len == 11 && !memcmp(name.at, "interval_ms", 11) && it.type == SENDA_U32) *interval = (uint32_t)senda_unsigned(&it, 0);
    }
    if (*interval >= 500) return SENDA_DONE_OK;
    it = senda_u32(*interval = 500);
    senda_answer(c, "interval_ms", &it);
    return SENDA_DONE_CLAMPED;
}

static void test_a_configuration_is_applied_and_its_revision_said_in_the_next_hello(void)
{
    uint32_t interval = 0;
    reset(__func__, true);
    config.accepts = SENDA_CONFIG;
    config.on_order = take_config;
    config.context = &interval;
    after(0);
    welcome(0, 0);
    post(CONFIG, SESSION, 1, "\0\0\0\7\2\1x\1\0\1\1\13interval_ms\4\0\1\0\0\x27\x10", 30);
    after(0);
    CHECK(said(DONE)[17] == SENDA_DONE_OK && interval == 10000 && client.config_rev == 7);
    post(CONFIG, SESSION, 2, "\0\0\0\x8\1\13interval_ms\4\0\1\0\0\0\1", 24);
    after(0);
    const uint8_t *done = said(DONE);
    CHECK(done[17] == SENDA_DONE_CLAMPED && done[19] == 1 && !memcmp(done + 20, "\13interval_ms\4\0\1\0\0\1\xF4", 19) && interval == 500);
    post_bytes(NULL, 0);
    after(0);
    after(1500);
    CHECK(get32(said(HELLO) + 12 + 38) == 8);
}

static void test_a_new_stream_begins_before_the_row_number_wraps(void)
{
    row_on_its_way(__func__, false);
    uint64_t stream = client.stream;
    post_ack(1, 1000, 0);
    after(0);
    client.next = client.oldest = client.mark = client.settled = STREAM_END - 1;
    CHECK(reading(1) == (int64_t)STREAM_END - 1);
    CHECK(reading(1) == SENDA_STREAM_END && senda_pending(&client) == 1);
    after(0);
    CHECK(get32(said(ROWS) + 8) == STREAM_END - 1);
    post_ack(STREAM_END, 1000, 0);
    after(0);
    CHECK(get16(said(CLOSE) + 12) == 407 && client.stream != stream);
    CHECK(reading(1) == 0);
    after(1500);
    welcome(0, 0);
    declared(0);
    CHECK(get32(said(ROWS) + 8) == 0);
}

static void test_a_port_that_fails_is_opened_again(void)
{
    reset(__func__, true);
    net.open = 0; /* still connecting */
    CHECK(after(0) <= 100 && client.state == WAITING && count_events(SENDA_EVENT_CLOSED) == 0);
    net.open = -1;
    after(10);
    CHECK(count_events(SENDA_EVENT_CLOSED) == 1);
    net.open = 1;
    CHECK(after(1) >= 900);
    CHECK(nothing_said());
    after(1500);
    welcome(0, 0);
    net.deaf = true;
    after(30000);
    CHECK(client.state == WAITING && !net.up);
    net.deaf = false;
    after(1500);
    said(HELLO);
    senda_close(&client);
    CHECK(!net.up && after(100000) > 1000 && nothing_said());
}

static void test_goodbye_says_407(void)
{
    join(__func__, false);
    senda_close(&client);
    CHECK(get16(said(CLOSE) + 12) == 407);
}

static void test_what_the_caller_gets_wrong_is_refused(void)
{
    senda_value values[] = {senda_i16(1), senda_u8(2), senda_enum(1)}, text = senda_text("more than twenty bytes");
    reset(__func__, false);
    CHECK(senda_add(&client, 2, 0, 0, values, 3) == SENDA_NO_SCHEMA);
    CHECK(senda_add(&client, 0, 0, 0, values, 2) == SENDA_BAD_VALUE);
    values[2] = senda_enum(2);
    CHECK(senda_add(&client, 0, 0, 0, values, 3) == SENDA_BAD_VALUE);
    values[2] = senda_u8(1);
    CHECK(senda_add(&client, 0, 0, 0, values, 3) == SENDA_BAD_VALUE);
    CHECK(senda_add(&client, 1, 0, 0, &text, 1) == SENDA_BAD_VALUE);
    text = senda_text("\xC3");
    CHECK(senda_add(&client, 1, 0, 0, &text, 1) == SENDA_BAD_VALUE);
    CHECK(senda_pending(&client) == 0 && client.used == 0);
    config.queue_size = 20;
    CHECK(senda_init(&client, &config) == SENDA_BAD_CONFIG);
    config.queue_size = sizeof queue;
    config.device = "";
    CHECK(senda_init(&client, &config) == SENDA_BAD_CONFIG);
    config.device = "a234567890123456789012345678901234567890123456789012345678901234";
    CHECK(senda_init(&client, &config) == SENDA_BAD_CONFIG);
    config.device = "gh-7";
    config.schema_count = 65;
    CHECK(senda_init(&client, &config) == SENDA_BAD_CONFIG);
    static senda_channel many[256];
    for (int i = 0; i < 256; i++) many[i] = channels[0];
    senda_schema large = {"large", 256, many};
    config.schemas = &large;
    config.schema_count = 1;
    CHECK(senda_init(&client, &config) == SENDA_BAD_CONFIG);
    large.channel_count = 1;
    for (unsigned labels = 1; labels < 255; labels++) { /* the description ends near the end of its room */
        static const char *names[255];
        for (unsigned i = 0; i < labels; i++) names[i] = "abcdefghi";
        many[0] = channels[2];
        many[0].label_count = (uint8_t)labels;
        many[0].labels = names;
        int fits = senda_init(&client, &config);
        CHECK(fits == (21 + 10 * labels <= 1172 ? 0 : SENDA_BAD_CONFIG));
    }
}

static void test_an_old_ack_moves_nothing_back(void)
{
    row_on_its_way(__func__, false);
    reading(1);
    post_ack(1, 1000, 0);
    after(0);
    said(ROWS);
    post_ack(0, 0, 0); /* it was overtaken on the way, and so was its window */
    after(0);
    CHECK(client.mark == 1 && client.window == 1000);
    post_ack(2, 1000, 0);
    after(0);
    CHECK(nothing_said() && senda_pending(&client) == 0);
}

static void test_rows_of_two_schemas_never_share_a_message(void)
{
    senda_value text = senda_text("hi");
    row_on_its_way(__func__, false);
    reading(2000);
    CHECK(senda_add(&client, 1, SENDA_UTC_SYNCED, 2001, &text, 1) == 2);
    post_ack(1, 1000, 0);
    after(0);
    CHECK(get16(said(ROWS) + 14) == (3 << 14 | 1));
}

static void test_a_new_hello_begins_without_a_cookie(void)
{
    reset(__func__, false);
    after(0);
    post(RETRY, 0, get32(said(HELLO) + 24), "\6cookie", 7);
    after(1);
    welcome(0, 0);
    post_close(SESSION, 0, 407, 0);
    after(0);
    after(1500);
    CHECK(get16(said(HELLO) + 2) == 68);
}

static void test_half_a_datagram_spoils_no_other(void)
{
    uint8_t ack[32];
    row_on_its_way(__func__, false);
    size_t len = make(ack, ACK, SESSION, 1, "", 0);
    post_bytes(ack, len - 6);
    post_bytes(ack, 5);
    post_bytes(ack, len);
    after(0);
    CHECK(senda_pending(&client) == 0);
}

static void test_utf8_is_checked_to_its_ends(void)
{
    const char *const good[] = {"", "\x7F", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"};
    const char *const bad[] = {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC2", "\xC2\x41", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xED\xBF\xBF", "\xE1\x80",
                               "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xE1\x80\xC0"};
    running = __func__;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) CHECK(is_utf8((const uint8_t *)good[i], (unsigned)strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(!is_utf8((const uint8_t *)bad[i], (unsigned)strlen(bad[i])));
}

static uint8_t answer_33_times(senda_client *c, void *context, const senda_order *order)
{
    senda_value it = senda_bool(true);
    (void)context;
    (void)order;
    for (int i = 0; i < 32; i++) CHECK(senda_answer(c, "", &it));
    CHECK(!senda_answer(c, "", &it));
    return SENDA_DONE_OK;
}

static void test_an_answer_has_at_most_32_results(void)
{
    join(__func__, false);
    config.accepts = SENDA_ALERT;
    config.on_order = answer_33_times;
    post(ALERT, SESSION, 1, "\0\0\0\7\0\0\0\0\0\0\0\0\1\2\0\0\0\0", 18);
    after(0);
    const uint8_t *done = said(DONE);
    CHECK(done[17] == SENDA_DONE_FAILED && done[19] == 0 && get16(done + 2) == 24);
}

/* ---- Any bytes at all ---- */

/* Nothing that arrives may do harm; the sanitizers watch. What is wrong must not move a mark beyond what was numbered. */
static void test_damaged_messages(unsigned turns)
{
    static struct message good[sizeof heard_cases / sizeof *heard_cases];
    uint64_t dice = 12345;
    unsigned taken = 0;
    for (unsigned turn = 0; turn < turns; turn++) {
        dice = dice * 6364136223846793005u + 1442695040888963407u;
        uint64_t random = dice >> 11;
        const struct heard_case *it = &heard_cases[random % (sizeof heard_cases / sizeof *heard_cases)];
        if (it->len < 16 || it->len > 1200) continue;
        struct message *message = &good[0];
        memcpy(message->bytes, it->bytes, it->len);
        message->len = it->len;
        for (unsigned i = random >> 20 & 3; i--;) message->bytes[(random >> (8 + i)) % it->len] ^= (uint8_t)(1u << (random >> (30 + i) & 7));
        if (random >> 40 & 1) message->len = 12 + (random >> 24) % (it->len - 11);
        if (random >> 41 & 3) { /* a right frame around what is left of it */
            if (message->len < 16) message->len = 16;
            message->bytes[0] = 0xA1;
            put16(message->bytes + 2, (unsigned)message->len);
            put32(message->bytes + message->len - 4, crc_of(message->bytes, (unsigned)message->len - 4));
        }
        if (turn % 64 == 0) {
            row_on_its_way("damaged bytes", random >> 43 & 1);
            config.accepts = 7;
            config.on_order = on_command_test;
            for (int i = 0; i < 5; i++) reading(i);
        }
        if (client.state != SERVING && random >> 44 & 1) { /* again a session, whatever it takes */
            client.state = SERVING;
            net.up = true;
        }
        if (random >> 45 & 7) {
            client.session = get32(message->bytes + 4);
            client.nonce = get32(message->bytes + 8);
        }
        if (message->bytes[1] == RETRY || message->bytes[1] == WELCOME) client.state = GREETING;
        net.said = net.read = net.posted = net.taken = 0;
        event_count = 0;
        net.up = true;
        post_bytes(message->bytes, message->len);
        CHECK(after((uint32_t)(random >> 50) & 0xFFF) <= 60000);
        taken += event_count;
        CHECK(client.oldest <= client.next && client.settled <= client.next && client.mark <= client.next && client.used <= sizeof queue);
    }
    printf("%u damaged messages; %u were followed by something\n", turns, taken);
}

/* ---- */

int main(int argc, char **argv)
{
    unsigned turns = argc > 1 ? (unsigned)atoi(argv[1]) : 50000;
    void (*const tests[])(void) = {
        test_heard_vectors,
        test_said_vectors,
        test_values_are_read_as_they_were_written,
        test_hello_repeats_after_1_1_1_2_4_seconds_and_with_the_cookie,
        test_rows_are_sent_resent_and_forgotten_on_udp,
        test_nothing_goes_again_on_tcp_but_in_a_new_session,
        test_rows_that_wait_go_together_while_schema_and_clock_last,
        test_a_full_queue_drops_the_oldest_and_says_so,
        test_a_restored_collector_is_told_what_is_lost,
        test_nacks_by_class,
        test_a_schema_conflict_begins_a_new_stream,
        test_a_closed_window_lets_one_row_through_as_a_probe,
        test_a_copied_memory_image_draws_a_new_stream,
        test_a_replaced_session_after_a_hello_given_up_keeps_its_stream_once,
        test_closes_that_are_not_ours_are_ignored,
        test_ping_is_answered_and_said_when_idle,
        test_on_udp_silence_is_no_end,
        test_tcp_bytes_may_come_one_by_one_and_together,
        test_a_lost_frame_ends_the_connection_on_tcp_and_nothing_on_udp,
        test_a_command_is_done_once_and_answered_as_often_as_it_comes,
        test_a_configuration_is_applied_and_its_revision_said_in_the_next_hello,
        test_a_new_stream_begins_before_the_row_number_wraps,
        test_a_port_that_fails_is_opened_again,
        test_goodbye_says_407,
        test_what_the_caller_gets_wrong_is_refused,
        test_an_old_ack_moves_nothing_back,
        test_rows_of_two_schemas_never_share_a_message,
        test_a_new_hello_begins_without_a_cookie,
        test_half_a_datagram_spoils_no_other,
        test_utf8_is_checked_to_its_ends,
        test_an_answer_has_at_most_32_results,
    };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) tests[i]();
    test_damaged_messages(turns);
    if (failures) printf("%u failures\n", failures);
    else printf("all well\n");
    return failures != 0;
}
