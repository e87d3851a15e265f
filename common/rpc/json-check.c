/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* json-check.c - the grammar of RFC 8259 as a small scanner, without recursion. */

#include "rpc/json-check.h"

#include "base/error.h"

#include <string.h>

#define DEPTH_LIMIT 64 /* bits of the stack of open brackets */

typedef struct {
    const char *at;
    const char *end;
} Scan;

/* Each scan function moves past what it accepts, or says what is wrong. */

static void
skip_space(Scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

static gboolean
take(Scan *s, char c)
{
    if (s->at == s->end || *s->at != c)
        return FALSE;
    s->at++;
    return TRUE;
}

/* The four digits of \uXXXX; -1 if they are not. */
static int
scan_hex4(Scan *s)
{
    int value = 0;

    if (s->end - s->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = g_ascii_xdigit_value(*s->at++);

        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* Behind a backslash. */
static const char *
scan_escape(Scan *s)
{
    int unit;

    if (s->at == s->end)
        return "a string that does not end";
    if (strchr("\"\\/bfnrt", *s->at) && *s->at) {
        s->at++;
        return NULL;
    }
    if (!take(s, 'u'))
        return "an unknown escape in a string";
    unit = scan_hex4(s);
    if (unit < 0)
        return "a \\u escape without four hex digits";
    if (unit == 0)
        return "a NUL in a string";
    if (unit >= 0xdc00 && unit <= 0xdfff)
        return "half a surrogate pair in a string";
    if (unit >= 0xd800 && unit <= 0xdbff) {
        if (!take(s, '\\') || !take(s, 'u'))
            return "half a surrogate pair in a string";
        unit = scan_hex4(s);
        if (unit < 0xdc00 || unit > 0xdfff)
            return "half a surrogate pair in a string";
    }
    return NULL;
}

/* Behind the opening quote. */
static const char *
scan_string(Scan *s)
{
    while (s->at < s->end) {
        char c = *s->at++;

        if (c == '"')
            return NULL;
        if ((guchar)c < 0x20)
            return "a control character in a string";
        if (c == '\\') {
            const char *wrong = scan_escape(s);

            if (wrong)
                return wrong;
        }
    }
    return "a string that does not end";
}

static gboolean
scan_digits(Scan *s)
{
    const char *from = s->at;

    while (s->at < s->end && g_ascii_isdigit(*s->at))
        s->at++;
    return s->at > from;
}

static const char *
scan_number(Scan *s)
{
    const char *from = s->at;
    gboolean is_integer = TRUE;
    char text[32];
    gsize length;

    take(s, '-');
    if (!take(s, '0') && !scan_digits(s))
        return "something that is not a value";
    if (s->at < s->end && g_ascii_isdigit(*s->at))
        return "a number with a leading zero";
    if (take(s, '.')) {
        is_integer = FALSE;
        if (!scan_digits(s))
            return "a number without digits behind its point";
    }
    if (take(s, 'e') || take(s, 'E')) {
        is_integer = FALSE;
        if (!take(s, '+'))
            take(s, '-');
        if (!scan_digits(s))
            return "a number without digits in its exponent";
    }
    /* 40 digits are enough for anything sane, and json-c copies numbers to the stack */
    length = (gsize)(s->at - from);
    if (length >= sizeof(text))
        return "a number that is too long";
    memcpy(text, from, length);
    text[length] = '\0';
    if (is_integer && !g_ascii_string_to_signed(text, 10, G_MININT64, G_MAXINT64, NULL, NULL))
        return "a number out of range";
    return NULL;
}

static gboolean
take_word(Scan *s, const char *word)
{
    gsize length = strlen(word);

    if ((gsize)(s->end - s->at) < length || memcmp(s->at, word, length) != 0)
        return FALSE;
    s->at += length;
    return TRUE;
}

static const char *
scan_scalar(Scan *s)
{
    if (take(s, '"'))
        return scan_string(s);
    if (take_word(s, "true") || take_word(s, "false") || take_word(s, "null"))
        return NULL;
    return scan_number(s);
}

/* "key" and its colon */
static const char *
scan_key(Scan *s, gsize *members)
{
    const char *wrong;

    skip_space(s);
    if (!take(s, '"'))
        return "something else where a key must be";
    wrong = scan_string(s);
    if (wrong)
        return wrong;
    skip_space(s);
    if (!take(s, ':'))
        return "a key without ':'";
    ++*members;
    return NULL;
}

static const char *
scan_document(Scan *s, guint max_depth, gsize *members)
{
    guint64 objects = 0; /* bit n: level n is an object, not an array */
    guint depth = 0;

    skip_space(s);
    if (s->at == s->end || *s->at != '{')
        return "something that is not an object";
    for (;;) {
        const char *wrong = NULL;
        gboolean value_done = TRUE;

        /* a value begins here */
        skip_space(s);
        if (s->at < s->end && (*s->at == '{' || *s->at == '[')) {
            gboolean is_object = *s->at++ == '{';

            if (depth == MIN(max_depth, DEPTH_LIMIT))
                return "too many levels";
            objects = is_object ? objects | (1ull << depth) : objects & ~(1ull << depth);
            depth++;
            skip_space(s);
            if (take(s, is_object ? '}' : ']')) {
                depth--;
            } else {
                value_done = FALSE;
                wrong = is_object ? scan_key(s, members) : NULL;
            }
        } else {
            wrong = scan_scalar(s);
        }
        if (wrong)
            return wrong;
        if (!value_done)
            continue;

        /* a value has ended: brackets close, or the next one follows */
        for (;;) {
            gboolean in_object;

            skip_space(s);
            if (depth == 0)
                return s->at == s->end ? NULL : "something behind its end";
            in_object = (objects >> (depth - 1)) & 1;
            if (take(s, in_object ? '}' : ']')) {
                depth--;
                continue;
            }
            if (!take(s, ','))
                return s->at == s->end ? "no end" : "no ',' where one must be";
            wrong = in_object ? scan_key(s, members) : NULL;
            if (wrong)
                return wrong;
            break;
        }
    }
}

gboolean
mig_json_check(const char *json, gsize length, guint max_depth, gsize *members, GError **error)
{
    Scan s = {json, json + length};
    gsize count = 0;
    const char *wrong = NULL;

    if (!g_utf8_validate_len(json, length, NULL))
        wrong = "bytes that are not UTF-8";
    else
        wrong = scan_document(&s, max_depth, &count);
    if (wrong) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_PROTOCOL,
                    "bad JSON: %s, at byte %" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT, wrong,
                    (gsize)(s.at - json), length);
        return FALSE;
    }
    if (members)
        *members = count;
    return TRUE;
}
