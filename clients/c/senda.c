/* Senda/1, simple profile. See senda.h; sections in comments are those of spec/senda-1.md.
 *
 *     WAITING --open--> GREETING --WELCOME--> SERVING     one question in flight at a time:
 *        ^                 |                     |        DECLARE, SKIP or ROWS, in this order (choose)
 *        +------ CLOSE, connection lost, 8 time-outs
 *
 * From small to large: bytes, values, the queue, time, what is sent, what is heard, senda_poll. */
#include "senda.h"

#if SENDA_MESSAGE_MAX < 256 || SENDA_MESSAGE_MAX > 1200
#error "SENDA_MESSAGE_MAX is 256 to 1200"
#endif
#if SENDA_ANSWER_MAX < 64 || SENDA_ANSWER_MAX > SENDA_MESSAGE_MAX
#error "SENDA_ANSWER_MAX is 64 to SENDA_MESSAGE_MAX"
#endif

/* Types of messages: 5. */
enum {
    HELLO = 0x01, RETRY, WELCOME, DECLARE, DECLARED, CLOSE = 0x0F, ROWS = 0x10, SKIP = 0x1F, ACK = 0x20, NACK,
    CONFIG = 0x30, COMMAND, ALERT, DONE = 0x3F, PING = 0x42, PONG
};
/* Causes of SKIP (5.12), and codes (11) that are treated by themselves. */
enum { OVERFLOWED = 1, LOST, REJECTED };
enum { UNKNOWN_SCHEMA = 201, CONFLICT, UNSUPPORTED = 302, UNKNOWN_SESSION = 401, REPLACED, FRAMING = 406, GOING };
enum { STOPPED, WAITING, GREETING, SERVING };

#define MAGIC_CRC 0xA1u
#define ACK_NOW 0x04u
#define HEADER_LEN 12u
#define CRC_LEN 4u
#define ROWS_HEAD 12u   /* schema, kind and count, t0 */
#define OFFSET_LEN 4u   /* of a row among several */
#define RECORD_HEAD 11u /* of a row in the queue: u16 length of its fields, u8 clock << 6 | schema, i64 time */
#define DESCRIPTION (HEADER_LEN + 6u) /* where it begins in DECLARE */
#define ANSWER_COUNT (HEADER_LEN + 7u) /* where the list of a DONE begins: after type, id, status, an empty text */
#define STREAM_END UINT32_MAX /* 2.3 */
#define TIME_OUTS_MAX 8u
#define READS_MAX 16   /* in one poll: more than a collector sends at once, and never a loop without end */
#define REST_MS 100u     /* least pause after a NACK of class 1xx */
#define IDLE_MS 60000u   /* the longest that senda_poll asks to sleep */
#define OPENING_MS 10u   /* between two looks at a port that is opening */

/* What is wrong with bytes that arrived: 3.7. */
enum verdict { TAKEN, INCOMPLETE, BAD_MAGIC, BAD_LENGTH, BAD_TRAILER, BAD_CRC, NOT_OURS, SKIPPED, BAD_BODY };

/* ---- Bytes: big-endian, at any address ---- */

static uint16_t get16(const uint8_t *at) { return (uint16_t)senda_read(at, 2); }
static uint32_t get32(const uint8_t *at) { return (uint32_t)senda_read(at, 4); }

/* Each returns where the next byte goes. */
static uint8_t *put(uint8_t *to, uint64_t number, unsigned size)
{
    senda_write(to, number, size);
    return to + size;
}
static uint8_t *put16(uint8_t *to, unsigned number) { return put(to, number, 2); }
static uint8_t *put32(uint8_t *to, uint32_t number) { return put(to, number, 4); }

static uint32_t crc_of(const uint8_t *bytes, unsigned len)
{
    uint32_t crc = UINT32_MAX;
    while (len--) {
        crc ^= *bytes++;
        for (unsigned bit = 8; bit--;) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

static bool is_utf8(const uint8_t *at, unsigned len)
{
    while (len--) {
        uint32_t c = *at++;
        unsigned more = 0;
        if (c < 0x80) continue;
        while (c << more & 0x40) more++;
        if (c < 0xC2 || c > 0xF4 || len < more) return false;
        c &= 0x3Fu >> more;
        len -= more;
        for (unsigned i = more; i--; at++) {
            if (*at >> 6 != 2) return false;
            c = c << 6 | (*at & 0x3Fu);
        }
        /* No longer than it need be, no surrogate, no more than there are. */
        if (!(c >> (5 * more + 1)) || c >> 11 == 0x1B || c > 0x10FFFF) return false;
    }
    return true;
}

#if SENDA_ORDERS
/* [a-z0-9_] and one more character: names of values (4.4) and of commands (5.18). */
static bool is_name(const uint8_t *at, unsigned len, unsigned also)
{
    while (len--) {
        unsigned c = *at++;
        if (c - 'a' > 'z' - 'a' && c - '0' > 9 && c != '_' && c != also) return false;
    }
    return true;
}
#endif

/* The next `len` bytes of what is left to read, or NULL: too few are there. Then nothing can be read any more. */
static const uint8_t *take(senda_bytes *rest, unsigned len)
{
    const uint8_t *at = rest->at;
    if (rest->len < len) return NULL;
    rest->at += len;
    rest->len -= len;
    return at;
}

/* A B text. */
static bool take_text(senda_bytes *rest, senda_bytes *text)
{
    const uint8_t *len = take(rest, 1);
    if (!len) return false;
    text->len = *len;
    text->at = take(rest, *len);
    return text->at && is_utf8(text->at, text->len);
}

/* ---- Values: 4.3, 4.4 ---- */

/* 4.3b and the rules of 4.2; `max_len` 0 stands for the limits outside data messages. */
static bool is_value(const senda_value *value, unsigned max_len, unsigned labels)
{
    const uint8_t *first = value->data ? value->data : value->raw;
    unsigned type = value->type;
    if (value->exponent && (value->exponent < -18 || value->exponent > 18 || type - SENDA_U8 > SENDA_I64 - SENDA_U8)) return false;
    if (value->elements != 1) {
        return value->elements - 2u <= 62 && type - SENDA_U8 <= SENDA_F64 - SENDA_U8
               && value->len == senda_size(value->type) * value->elements;
    }
    if (type == SENDA_TEXT && !is_utf8(value->data, value->len)) return false;
    if (type == SENDA_TEXT || type == SENDA_BLOB) return value->len <= (max_len ? max_len : type == SENDA_TEXT ? 255 : 1024);
    if (type == SENDA_BOOL) return *first < 2;
    if (type == SENDA_ENUM8) return *first < labels;
    return senda_size(value->type) != 0;
}

/* As in a row, where there is room for it, or nothing. Returns where the next one goes. */
static uint8_t *put_value(uint8_t *to, const uint8_t *end, const senda_value *value)
{
    unsigned size = senda_size(value->type), len = value->data ? value->len : size;
    unsigned head = size ? 0 : value->type == SENDA_TEXT ? 1 : 2;
    if (end - to < (int)(head + len)) return NULL;
    to = put(to, len, head);
    memcpy(to, value->data ? value->data : value->raw, len);
    return to + len;
}

#if SENDA_ORDERS
bool senda_next(senda_list *list, senda_bytes *name, senda_value *value)
{
    const uint8_t *head;
    if (!list->count) return false;
    list->count--;
    if (!take_text(&list->rest, name) || name->len > 127 || !is_name(name->at, name->len, '.')
        || !(head = take(&list->rest, 3))) return false;
    value->type = head[0];
    value->exponent = (int8_t)head[1];
    value->elements = head[2];
    value->len = (uint16_t)(senda_size(head[0]) * head[2]);
    if (!value->len) { /* text, blob, or no elements */
        unsigned size = head[0] == SENDA_TEXT ? 1 : 2;
        if (!(head = take(&list->rest, size))) return false;
        value->len = (uint16_t)senda_read(head, size);
    }
    value->data = take(&list->rest, value->len);
    return value->data && is_value(value, 0, 0);
}
#endif

/* ---- Schemas: 4.2 ---- */

/* Appends a B text, or nothing if there is no room (then for what follows there is none either). */
static uint8_t *put_text(uint8_t *to, const uint8_t *end, const char *text)
{
    senda_value value = senda_text(text ? text : "");
    return to ? put_value(to, end, &value) : NULL;
}

/* Writes it where DECLARE has it; returns its end, or NULL if it does not fit. `row`: its largest row. */
static uint8_t *describe(senda_client *c, const senda_schema *schema, unsigned *row)
{
    uint8_t *end = c->out + SENDA_MESSAGE_MAX - CRC_LEN - 6, *to = put_text(c->out + DESCRIPTION, end, schema->name);
    const senda_channel *channel = schema->channels;
    if (to) to = put16(to, schema->channel_count);
    *row = 0;
    for (unsigned i = schema->channel_count; i-- && to && to <= end; channel++) {
        unsigned size = (unsigned)senda_size(channel->type) * channel->elements;
        *row += size ? size : 2u + channel->max_len;
        *to++ = channel->type;
        *to++ = (uint8_t)channel->exponent;
        *to++ = channel->flags;
        *to++ = channel->elements;
        to = put_text(put16(to, channel->max_len), end, channel->name);
        to = put_text(to, end, channel->unit);
        if (channel->type != SENDA_ENUM8 || !to) continue;
        *to++ = channel->label_count;
        for (unsigned j = 0; j < channel->label_count; j++) to = put_text(to, end, channel->labels[j]);
    }
    return to && to <= end ? to : NULL;
}

/* The CRC of a description, and its end. */
static uint32_t describe_to_send(senda_client *c, unsigned id, uint8_t **end)
{
    unsigned row;
    *end = describe(c, &c->config->schemas[id], &row);
    return crc_of(c->out + DESCRIPTION, (unsigned)(*end - c->out) - DESCRIPTION);
}

/* ---- The queue: a ring of records, oldest first ---- */

static uint8_t *place(const senda_client *c, uint32_t offset)
{
    return c->config->queue + (c->head + offset) % c->config->queue_size;
}

static void peek(const senda_client *c, uint32_t offset, uint8_t *to, unsigned len)
{
    while (len--) *to++ = *place(c, offset++);
}

/* Forgets the oldest row. */
static void drop(senda_client *c)
{
    uint8_t len[2];
    peek(c, 0, len, 2);
    unsigned record = RECORD_HEAD + get16(len);
    c->head = (uint32_t)(place(c, record) - c->config->queue);
    c->used -= record;
    c->oldest++;
}

static void tell(const senda_client *c, unsigned kind, unsigned code, uint32_t row, const senda_bytes *text)
{
    senda_event event = {(uint8_t)kind, (uint16_t)code, row, {NULL, 0}};
    if (text) event.text = *text;
    if (c->config->on_event) c->config->on_event(c->config->context, &event);
}

int64_t senda_add(senda_client *c, uint8_t id, uint8_t clock, int64_t time_us, const senda_value *values, size_t count)
{
    uint8_t *to = c->out + RECORD_HEAD;
    if (id >= c->config->schema_count) return SENDA_NO_SCHEMA;
    const senda_schema *schema = &c->config->schemas[id];
    const senda_channel *channel = schema->channels;
    if (count != schema->channel_count) return SENDA_BAD_VALUE;
    for (unsigned i = schema->channel_count; i--; channel++, values++) {
        if (values->type != channel->type || values->elements != channel->elements
            || !is_value(values, channel->max_len, channel->label_count)) return SENDA_BAD_VALUE;
        to = put_value(to, c->out + SENDA_MESSAGE_MAX, values);
    }
    if (c->next == STREAM_END) return SENDA_STREAM_END;
    unsigned len = (unsigned)(to - c->out);
    to = put16(c->out, len - RECORD_HEAD);
    *to++ = (uint8_t)(clock << 6 | id);
    put(to, (uint64_t)time_us, 8);
    while (c->config->queue_size - c->used < len) {
        tell(c, SENDA_EVENT_DROPPED, 0, c->oldest, NULL);
        drop(c);
    }
    for (to = c->out; len--;) *place(c, c->used++) = *to++;
    return c->next++;
}

uint32_t senda_pending(const senda_client *c) { return c->next - c->settled; }

/* ---- Chance and time ---- */

static uint64_t draw(const senda_client *c) { return c->config->port.random(c->config->port.context); }

static void set(senda_client *c, unsigned timer, uint32_t ms)
{
    c->ahead[timer] = true;
    c->at[timer] = c->now + ms;
}

/* At most 300 s, and up to 1/part more at random: 6.3a, 8.3a. */
static uint32_t spread(const senda_client *c, uint32_t ms, unsigned part)
{
    if (ms > 300000) ms = 300000;
    return ms + (uint32_t)draw(c) % (ms / part + 1);
}

/* 1 s, doubled so many times. */
static uint32_t back_off(const senda_client *c, unsigned times) { return spread(c, 1000u << times, 2); }

/* ---- Sending: 3.2, 3.3 ---- */

/* A message whose body is written already, up to `end`. */
static void send(senda_client *c, uint8_t *message, unsigned type, uint32_t seq, uint8_t *end)
{
    unsigned len = (unsigned)(end - message);
    message[0] = type == ROWS || type == SKIP ? MAGIC_CRC | ACK_NOW : MAGIC_CRC;
    message[1] = (uint8_t)type;
    put32(put32(put16(message + 2, len + CRC_LEN), c->session), seq);
    put32(end, crc_of(message, len));
    set(c, SENDA_T_PING, c->keepalive_ms);
    if (!c->config->port.send(c->config->port.context, message, len + CRC_LEN)) c->broken = true;
}

/* 5.1 */
static void send_hello(senda_client *c)
{
    senda_value device = senda_text(c->config->device);
    uint8_t *to = c->out + HEADER_LEN;
    c->hello_next = c->next;
    to = put(to, c->stream, 8);
    to = put(to, c->nonce, 8);
    to = put32(to, c->next);
    to = put32(to, c->oldest);
    to = put32(to, c->keepalive_ms / 1000);
    to = put32(to, SENDA_MESSAGE_MAX << 16 | 1);               /* max_msg, ack_every */
    to = put32(to, c->config->accepts);                        /* ack_delay_ms 0, suite 0, downlink */
    to = put16(to, 1);                                         /* encodings: ROWS */
    to = put32(to, c->config_rev);
    to = put32(to, c->last_command_id);
    to = put_value(to, c->out + SENDA_MESSAGE_MAX, &device);
    *to++ = c->cookie_len;
    memcpy(to, c->cookie, c->cookie_len);
    send(c, c->out, HELLO, 0, to + c->cookie_len);
}

/* 5.6 */
static void send_close(senda_client *c, unsigned code)
{
    send(c, c->out, CLOSE, 0, put(c->out + HEADER_LEN, (uint64_t)code << 40, 7));
}

/* 5.12: of the rows between the mark and the oldest one that is left, those that have one cause. */
static void send_skip(senda_client *c)
{
    uint32_t end = c->oldest, cause = OVERFLOWED;
    if (c->mark < c->settled) end = c->settled, cause = LOST; /* 6.4b */
    else if (c->mark < c->rejected) end = c->rejected, cause = REJECTED;
    c->flight = SKIP;
    c->flight_end = end;
    uint8_t *to = put32(c->out + HEADER_LEN, end - c->mark);
    send(c, c->out, SKIP, c->flight_seq = c->mark, put(to, cause << 16, 3));
}

/* 5.4 */
static void send_declare(senda_client *c, unsigned id)
{
    uint8_t *end;
    c->flight = DECLARE;
    c->flight_end = c->oldest + 1; /* what it is for */
    put32(put16(c->out + HEADER_LEN, 1), describe_to_send(c, id, &end)); /* part 0 of 1 */
    send(c, c->out, DECLARE, c->flight_seq = id, end);
}

/* 5.7: the oldest rows, as many as have one schema and clock and fit the message and the window. */
static void send_rows(senda_client *c)
{
    uint8_t head[RECORD_HEAD], *message = c->out, *to = message + HEADER_LEN + ROWS_HEAD;
    uint32_t count = 0, offset = 0;
    unsigned tag = 0;
    uint64_t t0 = 0;
    while (offset < c->used) {
        peek(c, offset, head, sizeof head);
        unsigned fields = get16(head);
        uint64_t time = senda_read(head + 3, 8);
        if (!count) tag = head[2], t0 = time;
        time -= t0; /* large, too, when the clock was set back */
        if (head[2] != tag || time >> 32 || to + OFFSET_LEN + fields + CRC_LEN > c->out + SENDA_MESSAGE_MAX) break;
        to = put32(to, (uint32_t)time);
        peek(c, offset + RECORD_HEAD, to, fields);
        to += fields;
        offset += RECORD_HEAD + fields;
        if (++count >= c->window) break; /* 8.1; one row at least: the probe */
    }
    if (count == 1) message += OFFSET_LEN; /* A row alone has no offset: all before it moves up. */
    put(put16(put16(message + HEADER_LEN, tag & 63), tag >> 6 << 14 | count), tag >> 6 ? t0 : 0, 8);
    c->flight = ROWS;
    c->flight_end = c->oldest + count;
    send(c, message, ROWS, c->flight_seq = c->oldest, to);
}

/* ---- Sessions: 6 ---- */

/* 2.3, 6.7: rows that are queued go on in it under new numbers. */
static void new_stream(senda_client *c)
{
    c->stream = draw(c);
    c->next -= c->oldest;
    c->oldest = c->mark = c->settled = c->rejected = 0;
    c->declared = 0;
}

/* The session is over, or never began: HELLO after a while. `code` 0: the connection is lost. */
static void leave(senda_client *c, unsigned code, uint32_t retry_ms, const senda_bytes *text)
{
    uint32_t wait = spread(c, retry_ms, 4) + back_off(c, c->failures);
    if (code == UNKNOWN_SESSION) wait += (uint32_t)draw(c) % 10000; /* 6.3b */
    set(c, SENDA_T_WAKE, wait);
    c->config->port.open(c->config->port.context, false);
    if (c->state == GREETING) {
        set(c, SENDA_T_ABANDONED, 60000);
    } else if (code == REPLACED) {
        if (!c->ahead[SENDA_T_ABANDONED]) new_stream(c); /* 6.7a */
        c->ahead[SENDA_T_ABANDONED] = false;             /* 6.7b */
    }
    if (c->failures < 9) c->failures++;
    c->state = WAITING;
    c->session = 0;
    c->broken = c->ahead[SENDA_T_HOLD] = false;
    tell(c, SENDA_EVENT_CLOSED, code, c->settled, text);
}

/* Nobody asked for it: goodbye, and a new session, in a new stream if the old one can't go on. */
static void start_over(senda_client *c, unsigned code)
{
    send_close(c, code);
    if (code == GOING) new_stream(c);
    c->broken = true;
}

static void greet(senda_client *c)
{
    int open = c->config->port.open(c->config->port.context, true);
    c->broken = open < 0;
    if (open <= 0) return;
    c->nonce = draw(c);
    c->state = GREETING;
    c->cookie_len = c->tries = c->retries = 0;
    c->in_len = 0;
}

/* ---- What is said ---- */

/* The question in flight has its answer. */
static void answered(senda_client *c)
{
    c->flight = c->tries = 0;
    c->ahead[SENDA_T_WAKE] = false;
}

/* The rows below `end` will not be sent any more. */
static void drop_below(senda_client *c, uint32_t end)
{
    while (c->used && c->oldest < end) drop(c);
}

/* Asks the next question, or the one in flight once more. */
static void choose(senda_client *c)
{
    c->flight = 0;
    if (c->ahead[SENDA_T_HOLD]) return;
    if (c->mark < c->oldest) {
        send_skip(c);
    } else if (c->used) {
        unsigned id = *place(c, 2) & 63;
        if (!(c->declared >> id & 1)) send_declare(c, id);
        else if (c->window || !c->ahead[SENDA_T_PROBE]) send_rows(c); /* 8.1b */
    } else if (c->mark == STREAM_END) {
        start_over(c, GOING); /* 2.3c */
    }
    if (!c->flight) return;
    set(c, SENDA_T_WAKE, (c->tries < 6 ? back_off(c, c->tries) : spread(c, 60000, 2)) + c->answer_ms); /* 7.5 */
}

static void speak(senda_client *c)
{
    bool again = c->flight && !c->ahead[SENDA_T_WAKE] && !c->config->tcp; /* 7.4: on TCP nothing goes again */
    if (c->state == GREETING) {
        if (c->ahead[SENDA_T_WAKE]) return;
        send_hello(c);
        set(c, SENDA_T_WAKE, back_off(c, c->tries < 2 ? 0 : c->tries - 2u)); /* 6.3a */
        if (c->tries < 11) c->tries++;
        return;
    }
    if (again && ++c->tries == TIME_OUTS_MAX) c->broken = true;
    else if (again || !c->flight) choose(c);
    if (!c->ahead[SENDA_T_PING]) send(c, c->out, PING, 0, put(c->out + HEADER_LEN, c->nonce, 8)); /* 6.6 */
    if (c->config->tcp && !c->ahead[SENDA_T_SILENCE]) c->broken = true;
}

/* ---- What is heard: 3.7, checks 6 to 8, and what follows from a good message ---- */

static enum verdict on_retry(senda_client *c, const uint8_t *body, unsigned len)
{
    if (len < 2 || len != 1u + body[0] || len > 1 + sizeof c->cookie) return BAD_BODY;
    if (!memcmp(&c->cookie_len, body, len)) return TAKEN;
    memcpy(&c->cookie_len, body, len);
    if (c->retries == 3) return TAKEN;
    c->retries++;
    answered(c); /* 6.3c: the HELLO goes at once, and the waits begin anew */
    return TAKEN;
}

/* Rows below `mark` are settled: 5.13. */
static void settle(senda_client *c, uint32_t mark)
{
    drop_below(c, mark);
    if (c->oldest < mark) c->oldest = mark;
    if (c->mark < mark) c->tries = 0;
    c->mark = mark;
    if ((c->flight == ROWS || c->flight == SKIP) && mark >= c->flight_end) answered(c);
    if (c->settled >= mark) return;
    c->settled = mark;
    tell(c, SENDA_EVENT_STORED, 0, mark, NULL);
}

static enum verdict on_welcome(senda_client *c, uint32_t session, const uint8_t *body, unsigned len)
{
    unsigned critical = 0;
    if (len < 58) return BAD_BODY;
    uint32_t next = get32(body + 8), high = get32(body + 12), keepalive = get32(body + 36);
    senda_bytes options = {body + 58, len - 58};
    while (options.len) {
        const uint8_t *head = take(&options, 3);
        if (!head || !take(&options, get16(head + 1))) return BAD_BODY;
        critical |= *head;
    }
    if (high < next || get16(body + 28) < 1200 || !(body[31] & 1)) return BAD_BODY;
    if (!session) return NOT_OURS;
    c->session = session;
    if (critical & 0x80) start_over(c, UNSUPPORTED); /* 5.3 */
    else if (high > c->hello_next) start_over(c, GOING); /* 6.7a */
    if (c->broken) return TAKEN;
    c->state = SERVING;
    c->window = get32(body + 24);
    c->ahead[SENDA_T_PROBE] = false;
    c->answer_ms = (uint32_t)get16(body + 34) + get16(body + 42);
    c->keepalive_ms = 1000 * (keepalive < 1 ? 1 : keepalive < 86400 ? keepalive : 86400);
    c->failures = 0;
    c->control = c->mark = 0;
    answered(c);
    tell(c, SENDA_EVENT_WELCOME, 0, next, NULL);
    settle(c, next);
    return TAKEN;
}

/* 5.5 */
static enum verdict on_declared(senda_client *c, uint32_t seq, const uint8_t *body, unsigned len)
{
    uint8_t *end;
    if (len != 4) return BAD_BODY;
    if (c->flight != DECLARE || c->flight_seq != seq || get32(body) != describe_to_send(c, seq, &end)) return TAKEN;
    c->declared |= UINT64_C(1) << seq;
    answered(c);
    return TAKEN;
}

/* 5.13 */
static enum verdict on_ack(senda_client *c, uint32_t seq, const uint8_t *body, unsigned len)
{
    if (len) {
        uint32_t last = seq;
        if (len < 10 || body[8] || body[9] > 64 || len != 10 + 8u * body[9]) return BAD_BODY;
        for (unsigned at = 10; at < len; at += 8) {
            uint32_t start = get32(body + at), end = get32(body + at + 4);
            if (start <= last || end <= start) return BAD_BODY;
            last = end;
        }
    }
    if (seq > c->next) return BAD_BODY;
    if (seq < c->mark) return TAKEN;
    settle(c, seq);
    if (!len) return TAKEN;
    c->window = get32(body);
    unsigned retry = get16(body + 6);
    if (!c->window) set(c, SENDA_T_PROBE, spread(c, retry < 1000 ? 1000 : retry, 4)); /* 8.1b */
    return TAKEN;
}

/* The text that begins at `at` and ends the body. */
static bool last_text(const uint8_t *body, unsigned len, unsigned at, senda_bytes *text)
{
    senda_bytes rest = {body + at, len - at};
    return len > at && take_text(&rest, text) && !rest.len;
}

/* 7.6 */
static enum verdict on_nack(senda_client *c, uint32_t seq, const uint8_t *body, unsigned len)
{
    senda_bytes text;
    if (!last_text(body, len, 15, &text)) return BAD_BODY;
    unsigned code = get16(body + 1);
    uint32_t count = get32(body + 7);
    if (!c->flight || body[0] != c->flight || seq != c->flight_seq) return TAKEN;
    tell(c, SENDA_EVENT_REFUSED, code, get32(body + 3), &text);
    if (code / 100 == 3 && count) return TAKEN; /* resolved: the ACK passes them */
    if (code / 100 == 1) set(c, SENDA_T_HOLD, REST_MS + spread(c, get32(body + 11), 4));
    else if (code == CONFLICT) start_over(c, GOING);
    else if (code == UNKNOWN_SCHEMA) c->declared = 0;
    else if (c->flight == SKIP) c->broken = true;
    else drop_below(c, c->rejected = c->flight_end); /* SKIP(REJECTED) follows */
    answered(c);
    return TAKEN;
}

/* 5.6, 5.2b, 6.6d */
static enum verdict on_close(senda_client *c, uint32_t session, uint32_t seq, const uint8_t *body, unsigned len)
{
    senda_bytes text;
    if (!last_text(body, len, 6, &text)) return BAD_BODY;
    unsigned code = get16(body);
    bool framing = c->config->tcp && code == FRAMING && !session;
    if (!framing && (session != c->session || (!session && seq != (uint32_t)c->nonce))) return NOT_OURS;
    leave(c, code, get32(body + 2), &text);
    return TAKEN;
}

#if SENDA_ORDERS
/* ---- DONE: 5.20, 7.7. It is written where it is kept: the type, id and status, a text, a list. ---- */

bool senda_answer(senda_client *c, const char *name, const senda_value *value)
{
    const uint8_t *end = c->done + SENDA_ANSWER_MAX - CRC_LEN - 3;
    senda_value text = senda_text(name);
    uint8_t *to = put_value(c->done + c->done_len, end, &text), *head = to;
    if (to && text.len <= 127 && is_name(text.data, text.len, '.') && is_value(value, 0, 0) && c->done[ANSWER_COUNT] < 32) {
        to = put_value(to + 3, end + 3, value);
    } else {
        to = NULL;
    }
    c->done_bad |= !to;
    if (!to) return false;
    head[0] = value->type;
    head[1] = (uint8_t)value->exponent;
    head[2] = value->elements;
    c->done[ANSWER_COUNT]++;
    c->done_len = (uint16_t)(to - c->done);
    return true;
}

/* Whether a list ends the body as it should. */
static bool is_list(senda_bytes *rest, bool names, senda_list *list)
{
    senda_bytes name;
    senda_value value;
    const uint8_t *count = take(rest, 1);
    if (!count || *count > 32) return false;
    list->rest = *rest;
    list->count = *count;
    senda_list all = *list;
    while (all.count) {
        if (!senda_next(&all, &name, &value) || (names && !name.len)) return false;
    }
    return !all.rest.len;
}

static enum verdict on_order(senda_client *c, unsigned type, uint32_t seq, const uint8_t *body, unsigned len)
{
    senda_order order;
    senda_bytes rest = {body, len};
    if (!take(&rest, type == CONFIG ? 4 : type == COMMAND ? 8 : 14)) return BAD_BODY;
    order.kind = (uint8_t)(1u << (type - CONFIG));
    order.id = get32(body);
    if (type != CONFIG && !take_text(&rest, &order.name)) return BAD_BODY;
    if (type == COMMAND) {
        order.ttl_ms = get32(body + 4);
        if (order.name.len - 1 > 62 || *order.name.at < 'a' || !is_name(order.name.at, order.name.len, '-')) return BAD_BODY;
    } else if (type == ALERT) {
        order.time = (int64_t)senda_read(body + 4, 8);
        order.raised = body[12];
        order.severity = body[13];
        if (body[12] > 1 || body[13] > 2 || !take_text(&rest, &order.channel) || !take_text(&rest, &order.text)) return BAD_BODY;
    }
    if (!is_list(&rest, type == CONFIG, &order.values) || (!order.id && type != ALERT)) return BAD_BODY;
    if (!seq || seq < c->control) return TAKEN; /* 7.7b */
    if (seq > c->control) {
        uint8_t status = SENDA_DONE_UNKNOWN;
        c->control = seq;
        c->done_bad = false;
        c->done[HEADER_LEN] = (uint8_t)type;
        put(put32(c->done + HEADER_LEN + 1, order.id), 0, 3);
        c->done_len = ANSWER_COUNT + 1;
        if (c->config->accepts & order.kind) {
            status = SENDA_DONE_REFUSED; /* 7.7e: at most once, whoever forgot what */
            if (type != COMMAND || order.id > c->last_command_id) {
                if (type == COMMAND) c->last_command_id = order.id;
                status = c->config->on_order(c, c->config->context, &order);
            }
        }
        if (c->done_bad) {
            status = SENDA_DONE_FAILED;
            c->done[ANSWER_COUNT] = 0;
            c->done_len = ANSWER_COUNT + 1;
        }
        if (type == CONFIG && status <= SENDA_DONE_CLAMPED) c->config_rev = order.id;
        c->done[HEADER_LEN + 5] = status;
    }
    send(c, c->done, DONE, seq, c->done + c->done_len);
    return TAKEN;
}
#endif

/* `len` is that of the whole message. */
static enum verdict handle(senda_client *c, uint8_t *message, unsigned len)
{
    unsigned type = message[1];
    uint32_t session = get32(message + 4), seq = get32(message + 8);
    uint8_t *body = message + HEADER_LEN;
    len -= HEADER_LEN + CRC_LEN;
    if (type == CLOSE) return on_close(c, session, seq, body, len);
    if (type == RETRY || type == WELCOME) {
        if (c->state != GREETING || seq != (uint32_t)c->nonce) return NOT_OURS; /* 5.2b */
        return type == RETRY ? on_retry(c, body, len) : on_welcome(c, session, body, len);
    }
    if (c->state != SERVING || session != c->session) return NOT_OURS;
    if (type == DECLARED) return on_declared(c, seq, body, len);
    if (type == ACK) return on_ack(c, seq, body, len);
    if (type == NACK) return on_nack(c, seq, body, len);
#if SENDA_ORDERS
    if (type >= CONFIG && type <= ALERT) return on_order(c, type, seq, body, len);
#endif
    if (type != PING && type != PONG) return SKIPPED; /* 5.25 */
    if (len != 8) return BAD_BODY;
    if (type == PING) send(c, message, PONG, seq, body + 8); /* 5.23a */
    return TAKEN;
}

/* 3.7, checks 1 to 5. */
static enum verdict frame_at(const uint8_t *at, unsigned len, bool stream)
{
    if (len < HEADER_LEN) return INCOMPLETE;
    unsigned message = get16(at + 2);
    if (at[0] >> 4 != MAGIC_CRC >> 4) return BAD_MAGIC;
    if (message < HEADER_LEN + CRC_LEN || message > SENDA_MESSAGE_MAX) return BAD_LENGTH;
    if (message > len) return stream ? INCOMPLETE : BAD_LENGTH;
    if ((at[0] & 3) != 1) return BAD_TRAILER;
    message -= CRC_LEN;
    return get32(at + message) == crc_of(at, message) ? TAKEN : BAD_CRC;
}

/* 3.4, 3.6: all that is whole. */
static void hear(senda_client *c)
{
    uint8_t *at = c->in;
    while (c->state > WAITING && !c->broken) {
        enum verdict verdict = frame_at(at, c->in_len, c->config->tcp);
        if (verdict != TAKEN) {
            if (verdict == INCOMPLETE || !c->config->tcp) break; /* 3.4b */
            c->session = 0;
            start_over(c, FRAMING); /* 3.6a */
            break;
        }
        unsigned len = get16(at + 2);
        handle(c, at, len);
        c->in_len -= len;
        at += len;
    }
    if (!c->config->tcp) c->in_len = 0;
    for (unsigned i = 0; i < c->in_len; i++) c->in[i] = at[i];
}

/* Whether there may be more to read. */
static bool listen(senda_client *c)
{
    for (int turn = READS_MAX; turn-- && c->state > WAITING && !c->broken;) {
        uint32_t room = SENDA_MESSAGE_MAX - c->in_len;
        int len = c->config->port.receive(c->config->port.context, c->in + c->in_len, room);
        if (len == 0) return false;
        c->broken = (unsigned)len > room;
        if (c->broken) return false;
        c->in_len += (unsigned)len;
        hear(c);
        set(c, SENDA_T_SILENCE, c->keepalive_ms / 2 * 5); /* 6.6 */
    }
    return c->state > WAITING;
}

/* ---- The client ---- */

int senda_init(senda_client *c, const senda_config *config)
{
    unsigned row;
    memset(c, 0, sizeof *c);
    c->config = config;
    c->state = WAITING;
    c->keepalive_ms = 1000 * (config->keepalive_s ? config->keepalive_s : 30);
    c->config_rev = config->config_rev;
    c->last_command_id = config->last_command_id;
    new_stream(c);
    if (senda_text(config->device).len - 1u > 62 || config->schema_count - 1u > 63) return SENDA_BAD_CONFIG;
    for (unsigned i = config->schema_count; i--;) {
        if (!describe(c, &config->schemas[i], &row) || row > SENDA_ROW_MAX || RECORD_HEAD + row > config->queue_size) {
            return SENDA_BAD_CONFIG;
        }
    }
    return 0;
}

uint32_t senda_poll(senda_client *c, uint32_t now_ms)
{
    c->now = now_ms;
    /* What is due is over for good, lest it lie ahead again when the clock has wrapped. */
    for (unsigned i = 0; i < SENDA_TIMERS; i++) {
        if (now_ms - c->at[i] < 0x80000000u) c->ahead[i] = false;
    }
    if (c->state == WAITING && !c->ahead[SENDA_T_WAKE]) greet(c);
    bool more = listen(c);
    if (c->state > WAITING && !c->broken) speak(c);
    if (c->broken) leave(c, 0, 0, NULL);
    if (more) return 0;
    uint32_t wait = c->state == WAITING && !c->ahead[SENDA_T_WAKE] ? OPENING_MS : IDLE_MS;
    for (unsigned i = 0; i < SENDA_TIMERS; i++) {
        if (c->ahead[i] && c->at[i] - now_ms < wait) wait = c->at[i] - now_ms;
    }
    return wait;
}

void senda_close(senda_client *c)
{
    if (c->state == SERVING) send_close(c, GOING);
    c->config->port.open(c->config->port.context, false);
    c->state = STOPPED;
}
