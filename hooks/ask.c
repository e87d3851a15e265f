/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ask.c - io.migrated.HookDomain, written and read by hand. */
#include "ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Errors of the daemon are cut at 8 KiB. */
#define ANSWER_MAX_BYTES (32u << 10)

static enum ask
failed(const char *doing, char reason[REPLY_TEXT])
{
    snprintf(reason, REPLY_TEXT, "%s: %s", doing, strerror(errno));
    return ASK_NO_DAEMON;
}

/* ---- the question ---- */

static void
write_string(FILE *out, const char *key, const char *text)
{
    fprintf(out, "\"%s\":\"", key);
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20)
            fprintf(out, "\\u%04x", (unsigned)*text);
        else if (*text == '"' || *text == '\\')
            fprintf(out, "\\%c", *text);
        else
            fputc(*text, out);
    }
    fputc('"', out);
}

/* With its NUL; free(). NULL: no memory. */
static char *
make_question(const char *op, const char *vm, const struct domain_scan *domain, bool is_oneway,
              size_t *length)
{
    const struct {
        const char *key, *text;
    } optional[] = {
        {"uuid", domain->uuid}, {"lockspace", domain->lockspace}, {"lease", domain->lease}};
    char *text = NULL;
    FILE *out = open_memstream(&text, length);

    if (!out)
        return NULL;
    fprintf(out, "{\"method\":\"io.migrated.HookDomain\",%s\"parameters\":{",
            is_oneway ? "\"oneway\":true," : "");
    write_string(out, "op", op);
    fputc(',', out);
    write_string(out, "vm", vm);
    for (size_t i = 0; i < sizeof(optional) / sizeof(optional[0]); i++) {
        if (*optional[i].text) {
            fputc(',', out);
            write_string(out, optional[i].key, optional[i].text);
        }
    }
    fputs("}}", out);
    fputc('\0', out);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* ---- the way ---- */

static int
connect_daemon(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        int saved = errno;

        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static bool
send_all(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t n = send(fd, data, length, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0) {
            data += n;
            length -= (size_t)n;
        }
    }
    return true;
}

static enum ask
read_answer(int fd, char reason[REPLY_TEXT])
{
    static char answer[ANSWER_MAX_BYTES];
    size_t length = 0;

    for (;;) {
        const char *end = memchr(answer, '\0', length);
        ssize_t n;

        if (end) {
            switch (reply_parse(answer, (size_t)(end - answer), reason)) {
            case REPLY_YES:
                return ASK_YES;
            case REPLY_NO:
                return ASK_NO;
            case REPLY_GARBAGE:
            default:
                return ASK_GARBAGE;
            }
        }
        if (length == sizeof(answer))
            return ASK_GARBAGE;
        n = read(fd, answer + length, sizeof(answer) - length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed("reading its answer", reason);
        if (n == 0) {
            snprintf(reason, REPLY_TEXT, "it has ended without an answer");
            return length ? ASK_GARBAGE : ASK_NO_DAEMON;
        }
        length += (size_t)n;
    }
}

enum ask
ask_daemon(const char *socket_path, const char *op, const char *vm,
           const struct domain_scan *domain, bool is_oneway, char reason[REPLY_TEXT])
{
    size_t length = 0;
    char *question = make_question(op, vm, domain, is_oneway, &length);
    enum ask result = ASK_YES;
    int fd;

    *reason = '\0';
    if (!question)
        return failed("making the question", reason);
    fd = connect_daemon(socket_path);
    if (fd < 0)
        result = failed(socket_path, reason);
    else if (!send_all(fd, question, length))
        result = failed("asking", reason);
    else if (!is_oneway)
        result = read_answer(fd, reason);
    if (fd >= 0)
        close(fd);
    free(question);
    return result;
}
