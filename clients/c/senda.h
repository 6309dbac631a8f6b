/* A device's side of Senda/1 for small machines: the simple profile of spec/senda-1.md, over TCP and UDP.
 *
 * C99, one thread, no memory but the caller's, no globals, nothing of libc but memcpy, memcmp and memset.
 * The whole life of a device:
 *
 *     senda_init(&client, &config);
 *     for (;;) {
 *         if (a reading is due) senda_add(&client, 0, SENDA_UTC_SYNCED, now_us(), values, 3);
 *         uint32_t pause_ms = senda_poll(&client, now_ms());
 *         wait until the socket is readable, a reading is due, or pause_ms have passed
 *     }
 *
 * senda_add never waits: it puts a row into the queue. senda_poll never waits either: it reads what has arrived, sends
 * what is due and says when it wants to be called again. A row leaves the queue when the collector says that it is on
 * its disk (an ACK means stored), or that it is refused for good. When the queue is full the oldest row gives way, and
 * the collector is told how many did (SKIP). Sections in these comments are those of the specification. */
#ifndef SENDA_H
#define SENDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of the longest message, 256 to 1,200; the client holds two of them. A row may have 32 bytes less. */
#ifndef SENDA_MESSAGE_MAX
#define SENDA_MESSAGE_MAX 1200
#endif
/* Bytes of the largest row of a schema: 1,100, as in 4.2, where the message has room for it. */
#define SENDA_ROW_MAX (SENDA_MESSAGE_MAX < 1132 ? SENDA_MESSAGE_MAX - 32 : 1100)
/* 0 leaves CONFIG, COMMAND and ALERT out of the program: senda_next, senda_answer and on_order are not there then, and
 * `accepts` must be 0. */
#ifndef SENDA_ORDERS
#define SENDA_ORDERS 1
#endif
/* Bytes of the longest DONE, 64 to SENDA_MESSAGE_MAX: 24 and the results. One is kept. */
#ifndef SENDA_ANSWER_MAX
#define SENDA_ANSWER_MAX 256
#endif

/* ---- Values: 4.3, 4.4 ---- */

/* Types of values. */
enum {
    SENDA_BOOL = 1, SENDA_U8, SENDA_U16, SENDA_U32, SENDA_U64, SENDA_I8, SENDA_I16, SENDA_I32, SENDA_I64,
    SENDA_F32, SENDA_F64, SENDA_TEXT, SENDA_BLOB,
    SENDA_ENUM8, /* in rows: index of a label. Not in answers: send the label as text */
    SENDA_TIME   /* microseconds since 1970-01-01T00:00:00Z, without leap seconds */
};

/* Bytes of somebody else's, without a zero at the end: copy what you keep. */
typedef struct senda_bytes {
    const uint8_t *at;
    uint32_t len;
} senda_bytes;

/* A value, as its bytes on the wire: made by the functions below, or received. It does not own what `data` points to:
 * of a received one that lives until the callback returns. */
typedef struct senda_value {
    uint8_t type;
    int8_t exponent;  /* value = raw x 10^exponent, -18 to 18; integers only. In rows the channel's counts */
    uint8_t elements; /* 1, or 2 to 64: a vector of numbers */
    uint8_t raw[8];   /* a scalar to send, big-endian, `data` being NULL */
    uint16_t len;     /* bytes at `data` */
    const uint8_t *data;
} senda_value;

/* `size` bytes of a big-endian number. */
static inline uint64_t senda_read(const uint8_t *from, size_t size)
{
    uint64_t number = 0;
    while (size--) number = number << 8 | *from++;
    return number;
}
static inline void senda_write(uint8_t *to, uint64_t number, size_t size)
{
    while (size--) {
        to[size] = (uint8_t)number;
        number >>= 8;
    }
}

/* Bytes of a number or enum8; 0 for text and blob. */
static inline uint8_t senda_size(uint8_t type)
{
    static const uint8_t sizes[] = {0, 1, 1, 2, 4, 8, 1, 2, 4, 8, 4, 8, 0, 0, 1, 8};
    return type < sizeof sizes ? sizes[type] : 0;
}

static inline senda_value senda_scalar(uint8_t type, uint64_t bits)
{
    senda_value value = {type, 0, 1, {0}, 0, NULL};
    senda_write(value.raw, bits, senda_size(type));
    return value;
}
static inline senda_value senda_bool(bool b) { return senda_scalar(SENDA_BOOL, b); }
static inline senda_value senda_u8(uint8_t u) { return senda_scalar(SENDA_U8, u); }
static inline senda_value senda_u16(uint16_t u) { return senda_scalar(SENDA_U16, u); }
static inline senda_value senda_u32(uint32_t u) { return senda_scalar(SENDA_U32, u); }
static inline senda_value senda_u64(uint64_t u) { return senda_scalar(SENDA_U64, u); }
static inline senda_value senda_i8(int8_t i) { return senda_scalar(SENDA_I8, (uint64_t)i); }
static inline senda_value senda_i16(int16_t i) { return senda_scalar(SENDA_I16, (uint64_t)i); }
static inline senda_value senda_i32(int32_t i) { return senda_scalar(SENDA_I32, (uint64_t)i); }
static inline senda_value senda_i64(int64_t i) { return senda_scalar(SENDA_I64, (uint64_t)i); }
static inline senda_value senda_enum(uint8_t index) { return senda_scalar(SENDA_ENUM8, index); }
static inline senda_value senda_time(int64_t us) { return senda_scalar(SENDA_TIME, (uint64_t)us); }
static inline senda_value senda_f32(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return senda_scalar(SENDA_F32, bits);
}
static inline senda_value senda_f64(double f)
{
    uint64_t bits;
    memcpy(&bits, &f, sizeof bits);
    return senda_scalar(SENDA_F64, bits);
}
static inline senda_value senda_blob(const void *bytes, uint16_t len)
{
    senda_value value = {SENDA_BLOB, 0, 1, {0}, len, (const uint8_t *)bytes};
    return value;
}
/* UTF-8, ended by a zero; at most 255 bytes fit anywhere. */
static inline senda_value senda_text(const char *text)
{
    size_t len = 0;
    while (text[len] && len < 256) len++;
    senda_value value = {SENDA_TEXT, 0, 1, {0}, (uint16_t)len, (const uint8_t *)text};
    return value;
}
/* 2 to 64 numbers: an array of the C type that belongs to `type` (u8 to i64, f32, f64). `wire` is room for as many
 * bytes, and lives until the value was used. */
static inline senda_value senda_vector(uint8_t type, uint8_t elements, const void *array, uint8_t *wire)
{
    const uint8_t *from = (const uint8_t *)array;
    uint8_t size = senda_size(type);
    uint16_t half = 1;
    bool little;
    memcpy(&little, &half, 1);
    for (size_t i = 0; i < (size_t)size * elements; i++) wire[i] = from[little ? i - i % size + size - 1u - i % size : i];
    senda_value value = {type, 0, elements, {0}, (uint16_t)(size * elements), wire};
    return value;
}

/* What a value that was received holds; `index`: which of its elements, 0 of a scalar. By its type: unsigned (bool, u8 to
 * u64), signed (i8 to i64, time), f32, f64. */
static inline uint64_t senda_unsigned(const senda_value *value, unsigned index)
{
    uint8_t size = senda_size(value->type);
    return senda_read(value->data + (size_t)index * size, size);
}
static inline int64_t senda_signed(const senda_value *value, unsigned index)
{
    uint64_t bits = senda_unsigned(value, index), sign = UINT64_C(1) << (8 * senda_size(value->type) - 1);
    bits = (bits ^ sign) - sign;
    return bits >> 63 ? -(int64_t)~bits - 1 : (int64_t)bits;
}
static inline float senda_float(const senda_value *value, unsigned index)
{
    uint32_t bits = (uint32_t)senda_unsigned(value, index);
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}
static inline double senda_double(const senda_value *value, unsigned index)
{
    uint64_t bits = senda_unsigned(value, index);
    double f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Named values that were received, checked, in their order. */
typedef struct senda_list {
    senda_bytes rest;
    uint8_t count; /* of those still to come */
} senda_list;

/* Takes the next of the list; false at its end. A name may be empty: an argument by its place. */
bool senda_next(senda_list *list, senda_bytes *name, senda_value *value);

/* ---- Schemas: 4.1, 4.2. A description must fit one message, and have 28 bytes less. The collector checks the rest and
 * answers NACK 205 to a bad one, see SENDA_EVENT_REFUSED. ---- */

typedef struct senda_channel {
    const char *name; /* [a-z][a-z0-9_]{0,62} */
    const char *unit; /* of the SenML Units registry, such as "Cel"; NULL: none. At most 31 bytes */
    uint8_t type;
    int8_t exponent;  /* value = raw x 10^exponent, -18 to 18; integers only, else 0 */
    uint8_t flags;    /* 1: a counter, which grows and may restart from 0 */
    uint8_t elements; /* 1: a scalar; 2 to 64: a vector of numbers */
    uint16_t max_len; /* the most bytes of a value; text 1 to 255, blob 1 to 1,098, else 0 */
    uint8_t label_count;
    const char *const *labels; /* enum8: 1 to 255 labels, each 1 to 63 bytes of UTF-8 */
} senda_channel;

typedef struct senda_schema {
    const char *name; /* as of a channel */
    uint16_t channel_count; /* 1 to 256 */
    const senda_channel *channels;
} senda_schema;

/* What the time of a row is worth: 5.7. */
enum {
    SENDA_NO_CLOCK,     /* any running count of microseconds; the collector dates the row and keeps the distances */
    SENDA_MONOTONIC,    /* microseconds since the device booted */
    SENDA_UTC_UNSYNCED, /* Unix microseconds by a clock that nobody has set lately */
    SENDA_UTC_SYNCED    /* Unix microseconds by a clock that is kept right */
};

/* ---- The machine below ---- */

/* The network and a source of randomness. They are called by senda_poll and senda_close only (random: by
 * senda_init too), and may not call the client. */
typedef struct senda_port {
    void *context; /* handed to each */
    /* up: opens a UDP socket that talks to the collector, or connects by TCP. 1: it is open, 0: ask again at the next
     * poll, -1: not now. Not up: closes what is open, if anything is; the result is not looked at. */
    int (*open)(void *context, bool up);
    /* Sends one datagram, or all these bytes on the connection. False: it can't, and must be opened anew. A datagram
     * that was dropped on the way or refused by an ICMP message is no failure. */
    bool (*send)(void *context, const uint8_t *bytes, size_t len);
    /* Takes one datagram, or what has arrived of the stream, without waiting: its length, 0: nothing there,
     * -1: it must be opened anew. What does not fit of a datagram is cut off. */
    int (*receive)(void *context, uint8_t *bytes, size_t size);
    /* 64 bits that nobody can guess and that no other device draws: the hardware's generator, getrandom, esp_random. */
    uint64_t (*random)(void *context);
} senda_port;

/* ---- What the collector asks for: 5.16 to 5.20, 7.7 ---- */

/* What a callback returns: 5.20. */
enum {
    SENDA_DONE_OK, SENDA_DONE_CLAMPED, SENDA_DONE_REFUSED, SENDA_DONE_FAILED, SENDA_DONE_UNKNOWN, SENDA_DONE_EXPIRED
};

enum { SENDA_CONFIG = 1, SENDA_COMMAND = 2, SENDA_ALERT = 4 };

typedef struct senda_order {
    uint8_t kind;    /* SENDA_CONFIG, SENDA_COMMAND or SENDA_ALERT */
    bool raised;     /* ALERT: or cleared */
    uint8_t severity; /* ALERT: 0 information, 1 warning, 2 critical */
    uint32_t id;     /* CONFIG: its revision. ALERT: the same for raising and clearing */
    uint32_t ttl_ms; /* COMMAND: time to live that was left when it was sent */
    int64_t time;    /* ALERT: microseconds UTC */
    senda_bytes name; /* COMMAND: its name. ALERT: the schema */
    senda_bytes channel, text; /* ALERT */
    senda_list values; /* settings, arguments, or what the alert is about */
} senda_order;

/* ---- What happened, for a log or a lamp ---- */

enum {
    SENDA_EVENT_WELCOME, /* a session: the collector has the rows below `row` */
    SENDA_EVENT_STORED,  /* the rows below `row` are settled: on the collector's disk, refused or skipped */
    SENDA_EVENT_DROPPED, /* row `row` gave way in a full queue */
    SENDA_EVENT_REFUSED, /* the collector refused `row` or the message that began with it: `code` (11) and `text` say why */
    SENDA_EVENT_CLOSED   /* the session is over: `code` of the CLOSE (11), 0: the connection was lost. It is tried again */
};

typedef struct senda_event {
    uint8_t kind;
    uint16_t code;
    uint32_t row;
    senda_bytes text; /* for people; may be empty */
} senda_event;

typedef struct senda_client senda_client;

/* What a client is told once. It and all that it points to must live as long as the client. */
typedef struct senda_config {
    senda_port port;
    bool tcp; /* what the port is: a byte stream, or datagrams */
    const char *device; /* name: [A-Za-z0-9][A-Za-z0-9._:-]*, 1 to 63 bytes */
    const senda_schema *schemas; /* by id, from 0 */
    uint8_t schema_count;        /* 1 to 64 */
    uint8_t *queue;      /* memory for the rows that are not acknowledged: each takes its bytes on the wire and 11 */
    uint32_t queue_size; /* room for the largest row at least */
    uint32_t keepalive_s; /* it says something at least this often, 1 to 86,400; 0: 30 */
    uint32_t config_rev, last_command_id; /* as kept across a restart, if they were; else 0 */
    void *context;   /* handed to the callbacks */
    uint8_t accepts; /* which of SENDA_CONFIG | SENDA_COMMAND | SENDA_ALERT; 0: `on_order` may be NULL */
    /* Does what the collector asks for and returns what came of it, SENDA_DONE_OK and so on. It is asked once: what is
     * repeated on the way gets the same answer again.
     * CONFIG: apply the whole desired state; a setting that is not in it is back at its default, one that you don't
     * know is ignored. SENDA_DONE_CLAMPED: applied with other values, answer with those.
     * COMMAND: at most once, so an id that is to survive a restart must be kept before it is begun.
     * Rows may be added here; senda_poll and senda_close may not be called. */
    uint8_t (*on_order)(senda_client *client, void *context, const senda_order *order);
    /* May be NULL. It may not call the client. */
    void (*on_event)(void *context, const senda_event *event);
} senda_config;

/* Adds a result to the answer, at most 32; in on_order only. Name: 0 to 127 bytes of [a-z0-9_.]. False: there is no room,
 * or it is no such name or value; the answer is FAILED then, whatever on_order returns. */
bool senda_answer(senda_client *client, const char *name, const senda_value *value);

/* ---- The client ---- */

/* Why something was not taken: always the caller's to mend. */
enum {
    SENDA_BAD_CONFIG = -1, /* senda_init: a field of the config is out of its range, or a schema is too large */
    SENDA_NO_SCHEMA = -2,  /* senda_add: no schema has this id */
    SENDA_BAD_VALUE = -3,  /* senda_add: too many or too few values, or one that its channel can't have */
    SENDA_STREAM_END = -4  /* senda_add: 4,294,967,295 rows were numbered; empty the queue by polling, then again */
};

/* Begins a stream with a random number. Nothing is sent before the first senda_poll. 0, or SENDA_BAD_CONFIG. */
int senda_init(senda_client *client, const senda_config *config);

/* Queues one sample of schema `schema`: a value for each channel, in their order; `clock` says what `time_us` is.
 * Returns the number of the row (from 0), or a negative error and nothing is queued. */
int64_t senda_add(senda_client *client, uint8_t schema, uint8_t clock, int64_t time_us, const senda_value *values,
                  size_t count);

/* Does what is due at `now_ms`: milliseconds of a clock that never steps and may wrap at 2^32. Returns the milliseconds
 * after which it must be called again at the latest, or earlier when bytes arrive or rows were added. A device that
 * wants its rows in few messages adds them and polls seldom. */
uint32_t senda_poll(senda_client *client, uint32_t now_ms);

/* Says goodbye and closes the port. What is queued stays queued, and is lost with the client. */
void senda_close(senda_client *client);

/* Rows that were added and are not settled. */
uint32_t senda_pending(const senda_client *client);

/* What may lie ahead: the next question or try; rows after a NACK; a row into a closed window; HELLOs given up that may
 * still arrive; PING; the end of a silent connection. */
enum { SENDA_T_WAKE, SENDA_T_HOLD, SENDA_T_PROBE, SENDA_T_ABANDONED, SENDA_T_PING, SENDA_T_SILENCE, SENDA_TIMERS };

/* Private, and here only so that you can say where it lives. */
struct senda_client {
    const senda_config *config;
    uint8_t state, flight, tries, retries, failures;
    bool broken, done_bad; /* the first: the port failed, or the session is to end, in this turn */
    bool ahead[SENDA_TIMERS];
    uint16_t done_len;
    uint32_t at[SENDA_TIMERS], now;    /* ms */
    /* Rows: queued [oldest, next). Settled: below `mark` in this session, below `settled` ever. Refused: below `rejected`. */
    uint32_t next, oldest, mark, settled, rejected;
    uint32_t head, used, in_len;       /* the ring of rows; bytes of a message that is not whole yet */
    uint32_t session, window, keepalive_ms, flight_seq, flight_end;
    uint64_t declared, nonce, stream;  /* the first: a bit for each schema that the collector has */
    uint32_t answer_ms, control, config_rev, last_command_id, hello_next;
    uint8_t cookie_len, cookie[64];
    uint8_t in[SENDA_MESSAGE_MAX], out[SENDA_MESSAGE_MAX], done[SENDA_ANSWER_MAX];
};

#ifdef __cplusplus
}
#endif
#endif
