/* Records as JSON to lines of COPY's text format, in one pass over the bytes of a message (decision 0017).
 *
 * It never rejects. What is wholly right and plain it takes; whatever else it meets, it declines, and the thorough way
 * (schemas/validation.py) has that record. So every doubt is settled by `return NULL`: nothing is lost by it but time. What it
 * takes, the thorough way takes too, with the same line; tests/unit/test_native_reader.py holds it to that.
 *
 * For whoever audits it:
 * - It is given bytes from outside, and nothing else from outside: lengths are the caller's own.
 * - It calls memcmp, memcpy and memchr and nothing else of any library. It allocates nothing, keeps nothing between two calls,
 *   and knows nothing of Python. All its state is on the stack of the call: one Record of about 8 KiB.
 * - A reader takes `p`, the next byte, and `end`, the first byte that must not be read. It looks at *p only where p < end, and
 *   returns the byte behind what it has read, or NULL: declined.
 * - Every byte is written by put() or one(), which look at the room that is left. Where there is none, the whole is declined.
 * - The deepest recursion is json(), bounded by MAX_DEPTH; the one loop without a bound of its own goes over the bytes once.
 * - The rules (names, codes, lengths, limits, plain bytes, columns) are not here: rules.h is made from schemas/ by rules.py. A
 *   field of a known kind needs no change in this file. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { TEXT, TEXTS, CODE, CODES, COUNTRY, WHOLE, SHARE, TIME, DATE, OBJECT, JSON }; /* kinds of a field */
enum { PLAIN, QUOTE, LEAD_OF_TWO, LEAD_OF_THREE, STRANGE }; /* classes of a byte within a text */

typedef struct {
    uint8_t kind, nullable;
    uint32_t longest;      /* characters of a text, or of each of several; bytes of JSON */
    uint32_t fewest, most; /* items of a list */
    int64_t greatest;      /* of a whole number */
} Rule;
typedef const uint8_t *P;
typedef struct {
    P at;
    uint32_t n;
} Str; /* a stretch of the message, or of a constant */

#include "rules.h"

typedef struct {
    Str text;
    uint32_t first, items; /* where the items of a list stand among those of the record */
} Value;
typedef struct {
    uint32_t given;  /* a bit for each field that has a value */
    uint32_t inside; /* the same for the fields of `transfer` */
    uint32_t kind;   /* its categories, a bit for each, and the two bits below */
    uint32_t items;  /* used of `item` */
    Value of[FIELDS];
    Value transfer[TRANSFER_FIELDS];
    uint8_t time[32]; /* discovered_at as it is stored */
    Str item[ALL_ITEMS];
} Record;
typedef struct {
    uint32_t start, end;         /* of the record's JSON in the message */
    uint32_t key_start, key_end; /* of its activity_key in the output */
    uint32_t line_end;           /* of its line in the output */
    uint32_t kind;               /* 0: declined, and there is no line */
} Row;
typedef struct {
    const uint8_t *prefix; /* of each line: tenant and scan */
    uint32_t prefix_n;
    int64_t first_index; /* of the first record in its scan; -1: the sender did not say */
    int64_t latest;      /* discovered_at at most: microseconds since 1970-01-01 UTC */
    uint32_t declined;   /* the answer: how many records */
} Job;
typedef struct {
    uint8_t *at, *wall;
    int full;
} Out;

#define BIT(field) (1u << (field))
#define SENSITIVE BIT(31)
#define CROSSES BIT(30)
#define IS(s, literal) ((s).n == sizeof(literal) - 1 && !memcmp((s).at, literal, sizeof(literal) - 1))
_Static_assert(FIELDS <= 32 && TRANSFER_FIELDS <= 32, "a bit for each field");
_Static_assert(CATEGORIES <= 30, "a bit for each category");

/* ---- what all of JSON is made of ---- */

static inline P space(P p, P end) {
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r')) p++;
    return p;
}

/* Behind the next `byte` and the white space around it. */
static inline P mark(P p, P end, uint8_t byte) {
    p = space(p, end);
    return p < end && *p == byte ? space(p + 1, end) : NULL;
}

/* A text of plain characters (schemas.text.is_plain), each whole: strict UTF-8, in NFC, with nothing to escape. */
static inline P text(P p, P end, Str *out) {
    if (p >= end || *p != '"') return NULL;
    P start = ++p;
    for (;;) {
        while (end - p >= 4 && !(CLASS[p[0]] | CLASS[p[1]] | CLASS[p[2]] | CLASS[p[3]])) p += 4;
        while (p < end && CLASS[*p] == PLAIN) p++;
        if (p >= end) return NULL;
        switch (CLASS[*p]) {
        case QUOTE:
            out->at = start;
            out->n = (uint32_t)(p - start);
            return p + 1;
        case LEAD_OF_TWO:
            if (end - p < 2 || (p[1] & 0xc0) != 0x80) return NULL;
            p += 2;
            break;
        case LEAD_OF_THREE: /* U+1E80 to U+1EFF: Vietnamese letters */
            if (end - p < 3 || (p[1] & 0xfe) != 0xba || (p[2] & 0xc0) != 0x80) return NULL;
            p += 3;
            break;
        default:
            return NULL;
        }
    }
}

/* From 1 to `longest` characters: bytes that continue none. */
static inline int fits(Str s, uint32_t longest) {
    uint32_t characters = 0;
    if (s.n == 0) return 0;
    if (s.n <= longest) return 1;
    for (uint32_t i = 0; i < s.n; i++) characters += (s.at[i] & 0xc0) != 0x80;
    return characters <= longest;
}

static inline P word(P p, P end, const char *letters, uint32_t n) {
    return (size_t)(end - p) >= n && !memcmp(p, letters, n) ? p + n : NULL;
}

static inline int is_digit(uint8_t byte) { return byte >= '0' && byte <= '9'; }

static inline P digits(P p, P end) {
    while (p < end && is_digit(*p)) p++;
    return p;
}

/* A number that goes on here is another one. */
static inline P number_ends(P p, P end) {
    return p < end && (is_digit(*p) || *p == '.' || *p == '-' || *p == '+' || (*p | 0x20) == 'e') ? NULL : p;
}

/* Any value of plain texts and of numbers without exponents, as schemas.attributes takes it. */
static P json(P p, P end, int depth) {
    Str ignored;
    if (p >= end) return NULL;
    switch (*p) {
    case '"':
        return text(p, end, &ignored);
    case 't':
        return word(p, end, "true", 4);
    case 'f':
        return word(p, end, "false", 5);
    case 'n':
        return word(p, end, "null", 4);
    case '{':
    case '[': {
        int object = *p == '{';
        uint8_t closing = object ? '}' : ']';
        if (depth > MAX_DEPTH) return NULL;
        p = space(p + 1, end);
        if (p < end && *p == closing) return p + 1;
        for (;;) {
            if (object && (!(p = text(p, end, &ignored)) || !(p = mark(p, end, ':')))) return NULL;
            if (!(p = json(p, end, depth + 1))) return NULL;
            p = space(p, end);
            if (p < end && *p == closing) return p + 1;
            if (!(p = mark(p, end, ','))) return NULL;
        }
    }
    default: {
        P start = p, fraction;
        if (*p == '-') p++;
        if (p >= end || !is_digit(*p)) return NULL;
        p = *p == '0' ? p + 1 : digits(p, end);
        if (p < end && *p == '.') {
            fraction = p + 1;
            p = digits(fraction, end);
            if (p == fraction) return NULL;
        }
        return p - start > 40 ? NULL : number_ends(p, end);
    }
    }
}

/* ---- the kinds of a field ---- */

static P whole(P p, P end, Str *out, int64_t greatest) {
    P start = p;
    int64_t value = 0;
    p = digits(p, end);
    if (p == start || p - start > 15 || (*start == '0' && p - start > 1)) return NULL;
    for (P each = start; each < p; each++) value = value * 10 + (*each - '0');
    if (value > greatest) return NULL;
    out->at = start;
    out->n = (uint32_t)(p - start);
    return number_ends(p, end);
}

/* From 0 to 1, written as Python writes it: 0.0, 1.0, or up to 15 digits of which the first four are not all 0 (below that it
 * writes an exponent) and the last is none. */
static P share(P p, P end, Str *out) {
    P start = p;
    if (p >= end || (*p != '0' && *p != '1')) return NULL;
    if (p + 1 < end && p[1] == '.') {
        P fraction = p + 2;
        P behind = digits(fraction, end);
        P zeros = fraction;
        if (behind == fraction || behind - fraction > 15) return NULL;
        while (zeros < behind && *zeros == '0') zeros++;
        if (zeros < behind) {
            if (*start == '1' || zeros - fraction >= 4 || behind[-1] == '0') return NULL;
            out->at = start;
            out->n = (uint32_t)(behind - start);
            return number_ends(behind, end);
        }
        p = behind;
    } else {
        p++;
    }
    out->at = (P)(*start == '0' ? "0.0" : "1.0");
    out->n = 3;
    return number_ends(p, end);
}

static inline unsigned two(P s) { return (unsigned)(s[0] - '0') * 10 + (unsigned)(s[1] - '0'); }
static inline int are_two(P s) { return is_digit(s[0]) && is_digit(s[1]); }

/* The ten bytes at `s` as a day, counted from 1970-01-01 (proleptic Gregorian calendar). */
static int date(P s, int64_t *days) {
    static const uint8_t LAST[] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (!(are_two(s) && are_two(s + 2) && s[4] == '-' && are_two(s + 5) && s[7] == '-' && are_two(s + 8))) return 0;
    int64_t year = (int64_t)two(s) * 100 + two(s + 2);
    unsigned month = two(s + 5), day = two(s + 8);
    int leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > LAST[month] + (unsigned)(month == 2 && leap)) return 0;
    /* years begin in March here, so that the day that some have more is the last; 306 days lie between March and January */
    int64_t from = month > 2 ? year : year - 1, months = month > 2 ? month - 3 : month + 9;
    *days = from * 365 + from / 4 - from / 100 + from / 400 + (153 * months + 2) / 5 + day - 1 - 719468;
    return 1;
}

/* RFC 3339 with capital letters, up to six digits of a second and an offset below 15 hours; within EARLIEST and `latest`.
 * Stored is what the thorough way writes: six digits or none, Z for an offset of zero. */
static int instant(Str s, int64_t latest, uint8_t stored[32], Str *out) {
    int64_t days, fraction = 0, offset = 0;
    uint32_t i = 19, length = 19;
    P t = s.at;
    if (s.n < 20 || s.n > 32 || !date(t, &days)) return 0;
    if (t[10] != 'T' || !are_two(t + 11) || t[13] != ':' || !are_two(t + 14) || t[16] != ':' || !are_two(t + 17)) return 0;
    unsigned hour = two(t + 11), minute = two(t + 14), second = two(t + 17);
    if (hour > 23 || minute > 59 || second > 59) return 0;
    memcpy(stored, t, 19);
    if (t[i] == '.') {
        uint32_t first = ++i;
        for (; i < s.n && i - first < 6 && is_digit(t[i]); i++) fraction = fraction * 10 + (t[i] - '0');
        if (i == first) return 0;
        for (uint32_t k = i - first; k < 6; k++) fraction *= 10;
        if (fraction) {
            int64_t rest = fraction;
            stored[length] = '.';
            for (uint32_t k = 6; k > 0; k--, rest /= 10) stored[length + k] = (uint8_t)('0' + rest % 10);
            length += 7;
        }
    }
    if (s.n - i == 6 && (t[i] == '+' || t[i] == '-') && are_two(t + i + 1) && t[i + 3] == ':' && are_two(t + i + 4)) {
        unsigned hours = two(t + i + 1), minutes = two(t + i + 4);
        if (hours > 14 || minutes > 59) return 0;
        offset = (int64_t)(hours * 60 + minutes) * 60;
        if (t[i] == '-') offset = -offset;
    } else if (s.n - i != 1 || t[i] != 'Z') {
        return 0;
    }
    if (offset) {
        memcpy(stored + length, t + i, 6);
        length += 6;
    } else {
        stored[length++] = 'Z';
    }
    int64_t seconds = ((days * 24 + hour) * 60 + minute) * 60 + second - offset;
    int64_t at = seconds * 1000000 + fraction;
    out->at = stored;
    out->n = length;
    return at >= EARLIEST && at <= latest;
}

static inline int is_country(Str s) {
    return s.n == 2 && s.at[0] >= 'A' && s.at[0] <= 'Z' && s.at[1] >= 'A' && s.at[1] <= 'Z' &&
           COUNTRIES[(s.at[0] - 'A') * 26 + s.at[1] - 'A'];
}

/* A list of texts or of codes, each once looked at: into the record's items. `code` is the rule of its codes. */
static P list(P p, P end, const Rule *rule, int (*code)(P, uint32_t), Record *r, Value *out, uint32_t *codes) {
    out->first = r->items;
    out->items = 0;
    if (!(p = mark(p, end, '['))) return NULL;
    if (p < end && *p == ']') return rule->fewest ? NULL : p + 1;
    for (;;) {
        Str *item;
        int found = 0;
        if (out->items == rule->most || r->items == ALL_ITEMS) return NULL;
        item = &r->item[r->items++];
        out->items++;
        if (!(p = text(p, end, item))) return NULL;
        if (code ? (found = code(item->at, item->n)) < 0 : !fits(*item, rule->longest)) return NULL;
        *codes |= BIT(found);
        p = space(p, end);
        if (p < end && *p == ']') return out->items < rule->fewest ? NULL : p + 1;
        if (!(p = mark(p, end, ','))) return NULL;
    }
}

static P object(P p, P end, const Job *job, Record *r);

/* The value of a field. `codes` gets a bit for each code of a list. */
static P value(P p, P end, const Rule *rule, int (*code)(P, uint32_t), const Job *job, Record *r, Value *out, uint32_t *codes) {
    int64_t days;
    P start = p;
    switch (rule->kind) {
    case TEXT:
        return (p = text(p, end, &out->text)) && fits(out->text, rule->longest) ? p : NULL;
    case CODE:
        return (p = text(p, end, &out->text)) && code(out->text.at, out->text.n) >= 0 ? p : NULL;
    case COUNTRY:
        return (p = text(p, end, &out->text)) && is_country(out->text) ? p : NULL;
    case TIME: {
        Str given;
        return (p = text(p, end, &given)) && instant(given, job->latest, r->time, &out->text) ? p : NULL;
    }
    case DATE:
        return (p = text(p, end, &out->text)) && out->text.n == 10 && date(out->text.at, &days) ? p : NULL;
    case WHOLE:
        return whole(p, end, &out->text, rule->greatest);
    case SHARE:
        return share(p, end, &out->text);
    case TEXTS:
    case CODES:
        return list(p, end, rule, code, r, out, codes);
    case OBJECT:
        return object(p, end, job, r);
    case JSON: /* as it came, so without white space that COPY would need escaped */
        if (p >= end || *p != '{' || !(p = json(p, end, 1)) || p - start > (ptrdiff_t)rule->longest) return NULL;
        out->text.at = start;
        out->text.n = (uint32_t)(p - start);
        return memchr(start, '\n', out->text.n) || memchr(start, '\t', out->text.n) || memchr(start, '\r', out->text.n) ? NULL : p;
    }
    return NULL;
}

/* The fields of an object, each once and all known; `given` gets those with a value. Behind the closing brace. */
static inline P fields(P p, P end, const Rule *rules, int (*field_of)(P, uint32_t), int (*const *codes)(P, uint32_t), uint32_t required,
                       const Job *job, Record *r, Value *of, uint32_t *given, uint32_t *categories) {
    uint32_t seen = 0;
    *given = 0;
    if (!(p = mark(p, end, '{'))) return NULL;
    for (;;) {
        Str name;
        P behind;
        int field;
        uint32_t found = 0;
        if (!(p = text(p, end, &name)) || !(p = mark(p, end, ':'))) return NULL;
        field = field_of(name.at, name.n);
        if (field < 0 || seen & BIT(field)) return NULL;
        seen |= BIT(field);
        if (rules[field].nullable && (behind = word(p, end, "null", 4))) {
            p = behind;
        } else {
            if (!(p = value(p, end, &rules[field], codes[field], job, r, &of[field], &found))) return NULL;
            *given |= BIT(field);
            if (categories && field == DATA_CATEGORIES) *categories = found;
        }
        p = space(p, end);
        if (p < end && *p == '}') break;
        if (!(p = mark(p, end, ','))) return NULL;
    }
    return (*given & required) == required ? p + 1 : NULL;
}

/* The one object within a record. */
static P object(P p, P end, const Job *job, Record *r) {
    return fields(p, end, TRANSFER_RULES, transfer_field, TRANSFER_CODES, TRANSFER_REQUIRED, job, r, r->transfer, &r->inside, NULL);
}

/* One record that begins at p. */
static P record(P p, P end, const Job *job, Record *r) {
    P start = p;
    uint32_t categories = 0;
    r->items = 0;
    p = fields(p, end, RULES, record_field, CODES_OF, REQUIRED, job, r, r->of, &r->given, &categories);
    if (!p || p - start > MAX_RECORD_BYTES) return NULL;
    r->kind = categories & SENSITIVE_CATEGORIES ? categories | SENSITIVE : categories;
    if (!IS(r->of[STORAGE_COUNTRY].text, HOME_COUNTRY) || r->given & BIT(TRANSFER) ||
        (r->given & BIT(PROVIDER_COUNTRY) && !IS(r->of[PROVIDER_COUNTRY].text, HOME_COUNTRY)))
        r->kind |= CROSSES;
    return p;
}

/* ---- the line ---- */

static inline void put(Out *out, P bytes, uint32_t n) {
    if ((size_t)(out->wall - out->at) < n) {
        out->full = 1;
        return;
    }
    memcpy(out->at, bytes, n);
    out->at += n;
}
static inline void one(Out *out, char byte) {
    if (out->at == out->wall) {
        out->full = 1;
        return;
    }
    *out->at++ = (uint8_t)byte;
}
#define PUT(out, literal) put(out, (P)(literal), sizeof(literal) - 1)

static void items(Out *out, const Record *r, const Value *list, int quoted) {
    one(out, '{');
    for (uint32_t i = 0; i < list->items; i++) {
        const Str *item = &r->item[list->first + i];
        if (i) one(out, ',');
        if (quoted) one(out, '"');
        put(out, item->at, item->n);
        if (quoted) one(out, '"');
    }
    one(out, '}');
}

static void transfer(Out *out, const Record *r) {
    char before = '{';
    for (int field = 0; field < TRANSFER_FIELDS; field++) {
        if (!(r->inside & BIT(field))) continue;
        one(out, before);
        one(out, '"');
        put(out, TRANSFER_NAMES[field].at, TRANSFER_NAMES[field].n);
        PUT(out, "\":\"");
        put(out, r->transfer[field].text.at, r->transfer[field].text.n);
        one(out, '"');
        before = ',';
    }
    one(out, '}');
}

static void index_of(Out *out, int64_t number) {
    uint8_t digit[20];
    uint32_t i = sizeof digit;
    if (number < 0) {
        PUT(out, "\\N");
        return;
    }
    do {
        digit[--i] = (uint8_t)('0' + number % 10);
        number /= 10;
    } while (number);
    put(out, digit + i, (uint32_t)sizeof digit - i);
}

static void line(Out *out, const Job *job, const Record *r, int64_t number) {
    put(out, job->prefix, job->prefix_n);
    put(out, r->of[ACTIVITY_KEY].text.at, r->of[ACTIVITY_KEY].text.n);
    one(out, '\t');
    index_of(out, number);
    for (size_t i = 0; i < sizeof COLUMNS; i++) {
        uint8_t field = COLUMNS[i], kind = RULES[field].kind;
        int is_list = kind == TEXTS || kind == CODES;
        one(out, '\t');
        if (!(r->given & BIT(field))) {
            if (is_list || kind == JSON) PUT(out, "{}"); else PUT(out, "\\N");
        } else if (is_list) {
            items(out, r, &r->of[field], kind == TEXTS);
        } else if (kind == OBJECT) {
            transfer(out, r);
        } else {
            put(out, r->of[field].text.at, r->of[field].text.n);
        }
    }
    one(out, '\t');
    one(out, r->kind & SENSITIVE ? 't' : 'f');
    one(out, '\t');
    one(out, r->kind & CROSSES ? 't' : 'f');
    one(out, '\n');
}

/* ---- messages ---- */

/* The end of a record that was declined, by brackets and strings alone, as schemas.raw_records cuts an array: NULL where the
 * array does not go on or end behind it. Brackets of both kinds count alike there, and so they do here. */
static P behind_declined(P p, P end) {
    int64_t depth = 0;
    for (; p < end; p++) {
        switch (*p) {
        case '"':
            for (p++; p < end && *p != '"'; p++)
                if (*p == '\\' && ++p == end) return NULL;
            if (p == end) return NULL;
            break;
        case '{':
        case '[':
            depth++;
            break;
        case '}':
        case ']':
            if (depth == 0) return *p == ']' ? p : NULL;
            depth--;
            break;
        case ',':
            if (depth == 0) return p;
            break;
        }
    }
    return NULL;
}

/* Writes the row of a record in json[start, end), and its line where it was taken. 0 where there is no room for it. */
static int settle(Row *row, P json_start, P start, P end, const Record *taken, Job *job, int64_t number, Out *out, P out_start) {
    uint32_t before = (uint32_t)(out->at - out_start);
    *row = (Row){(uint32_t)(start - json_start), (uint32_t)(end - json_start), before, before, before, 0};
    if (taken) {
        line(out, job, taken, number);
        row->key_start = before + job->prefix_n;
        row->key_end = row->key_start + taken->of[ACTIVITY_KEY].text.n;
        row->line_end = (uint32_t)(out->at - out_start);
        row->kind = taken->kind;
    } else {
        job->declined++;
    }
    return !out->full;
}

/* Reads a message: an array of records, or one record. Returns how many rows it made, one for each record in their order; -1
 * where it declines the whole. It does not go on where it declines most: then the thorough way is faster by itself. */
__attribute__((visibility("default"))) int32_t scanline_read_message(P json_start, uint32_t size, Job *job, Row *rows, uint32_t most,
                                                                     uint8_t *out_start, uint32_t room) {
    Record r;
    Out out = {out_start, out_start + room, 0};
    P end = json_start + size, p = space(json_start, end);
    uint32_t n = 0;
    job->declined = 0;
    if (p < end && *p == '{') {
        P start = p;
        if (most < 1 || !(p = record(p, end, job, &r)) || space(p, end) != end) return -1;
        return settle(rows, json_start, start, p, &r, job, job->first_index, &out, out_start) ? 1 : -1;
    }
    if (!(p = mark(p, end, '['))) return -1;
    for (;;) {
        P start = p, behind = record(p, end, job, &r), next = behind ? space(behind, end) : NULL;
        int taken = next && next < end && (*next == ',' || *next == ']');
        int64_t number = job->first_index < 0 ? -1 : job->first_index + n;
        if (!taken) {
            if (job->declined >= 16 && job->declined * 4 > n) return -1;
            if (!(next = behind_declined(start, end)) || next == start) return -1;
            behind = next;
            while (behind > start && space(behind - 1, behind) == behind) behind--;
        }
        if (n == most || !settle(&rows[n++], json_start, start, behind, taken ? &r : NULL, job, number, &out, out_start)) return -1;
        if (*next == ']') return space(next + 1, end) == end ? (int32_t)n : -1;
        p = space(next + 1, end);
    }
}

/* Reads messages of one record each and of one scan, one behind the other; number i ends at ends[i]. Makes a row for each.
 * Returns how many, or -1 where there is no room. */
__attribute__((visibility("default"))) int32_t scanline_read_singles(P json_start, const uint32_t *ends, uint32_t count, Job *job,
                                                                     Row *rows, uint8_t *out_start, uint32_t room) {
    Record r;
    Out out = {out_start, out_start + room, 0};
    P start = json_start;
    job->declined = 0;
    for (uint32_t n = 0; n < count; n++) {
        P end = json_start + ends[n], p = record(space(start, end), end, job, &r);
        int taken = p && space(p, end) == end;
        if (!settle(&rows[n], json_start, start, end, taken ? &r : NULL, job, -1, &out, out_start)) return -1;
        start = end;
    }
    return (int32_t)count;
}
