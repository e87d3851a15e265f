/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reply.c - as much of JSON as an answer needs: all of it is checked, two strings are kept. */
#include "reply.h"

#include <stdbool.h>
#include <string.h>

#define DEPTH_MAX 16
#define ERRORS    "io.migrated."

struct json {
    const char *p, *end;
    char error[REPLY_TEXT];
    char message[REPLY_TEXT];
    bool has_error, has_message;
};

static void
skip_blanks(struct json *json)
{
    while (json->p < json->end &&
           (*json->p == ' ' || *json->p == '\t' || *json->p == '\n' || *json->p == '\r'))
        json->p++;
}

static bool
take(struct json *json, char c)
{
    skip_blanks(json);
    if (json->p >= json->end || *json->p != c)
        return false;
    json->p++;
    return true;
}

/* For a terminal: what is not printable ASCII or a part of UTF-8 becomes a blank. */
static void
add(char *to, size_t *length, char c)
{
    if (to && *length + 1 < REPLY_TEXT) {
        to[(*length)++] = (unsigned char)c < 0x20 || c == 0x7f ? ' ' : c;
        to[*length] = '\0';
    }
}

static bool
read_escape(struct json *json, char *to, size_t *length)
{
    static const char plain[] = "\"\\/bfnrt";

    if (json->p >= json->end)
        return false;
    if (*json->p != 'u') {
        if (!memchr(plain, *json->p, sizeof(plain) - 1))
            return false;
        add(to, length, strchr("\"\\/", *json->p) ? *json->p : ' ');
        json->p++;
        return true;
    }
    json->p++;
    for (unsigned i = 0; i < 4; i++, json->p++) {
        if (json->p >= json->end || !strchr("0123456789abcdefABCDEF", *json->p) || !*json->p)
            return false;
    }
    add(to, length, '?'); /* the daemon writes as UTF-8 what is to be read */
    return true;
}

/* to may be NULL. */
static bool
read_string(struct json *json, char *to)
{
    size_t length = 0;

    if (to)
        *to = '\0';
    if (!take(json, '"'))
        return false;
    while (json->p < json->end && *json->p != '"') {
        char c = *json->p++;

        if ((unsigned char)c < 0x20)
            return false;
        if (c == '\\' ? !read_escape(json, to, &length) : (add(to, &length, c), false))
            return false;
    }
    return take(json, '"');
}

static bool
read_word(struct json *json)
{
    const char *start = json->p;

    while (json->p < json->end && strchr("abcdefghijklmnopqrstuvwxyz0123456789+-.E", *json->p) &&
           *json->p)
        json->p++;
    return json->p > start;
}

static bool read_value(struct json *json, unsigned depth);

/* depth 1: the envelope; 2 with is_parameters: its parameters. */
static bool
read_object(struct json *json, unsigned depth, bool is_parameters)
{
    char key[REPLY_TEXT];

    if (depth > DEPTH_MAX || !take(json, '{'))
        return false;
    if (take(json, '}'))
        return true;
    do {
        bool ok;

        if (!read_string(json, key) || !take(json, ':'))
            return false;
        skip_blanks(json);
        if (depth == 1 && strcmp(key, "error") == 0) {
            json->has_error = true;
            ok = read_string(json, json->error);
        } else if (depth == 1 && strcmp(key, "parameters") == 0) {
            ok = read_object(json, depth + 1, true);
        } else if (is_parameters && strcmp(key, "message") == 0) {
            json->has_message = true;
            ok = read_string(json, json->message);
        } else {
            ok = read_value(json, depth + 1);
        }
        if (!ok)
            return false;
    } while (take(json, ','));
    return take(json, '}');
}

static bool
read_value(struct json *json, unsigned depth)
{
    skip_blanks(json);
    if (json->p >= json->end || depth > DEPTH_MAX)
        return false;
    if (*json->p == '"')
        return read_string(json, NULL);
    if (*json->p == '{')
        return read_object(json, depth, false);
    if (*json->p != '[')
        return read_word(json);
    json->p++;
    if (take(json, ']'))
        return true;
    do {
        if (!read_value(json, depth + 1))
            return false;
    } while (take(json, ','));
    return take(json, ']');
}

enum reply
reply_parse(const char *text, size_t length, char reason[REPLY_TEXT])
{
    struct json json = {.p = text, .end = text + length};

    *reason = '\0';
    if (!read_object(&json, 1, false))
        return REPLY_GARBAGE;
    skip_blanks(&json);
    if (json.p != json.end)
        return REPLY_GARBAGE;
    if (!json.has_error)
        return REPLY_YES;
    /* what the daemon cannot answer it has not decided */
    if (strncmp(json.error, ERRORS, strlen(ERRORS)) != 0 || !json.has_message ||
        strcmp(json.error, ERRORS "Protocol") == 0)
        return REPLY_GARBAGE;
    memcpy(reason, json.message, REPLY_TEXT);
    return REPLY_NO;
}
