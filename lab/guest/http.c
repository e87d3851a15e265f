/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* http.c - The guest's web server: what it is, what it does, and switches for its load. */

/*
 * GET /, /stats, /load?rate=MIB_PER_S&set=MIB, /mark?text=TEXT, /writer?rate=RECORDS_PER_S|stop,
 * /verify, /off. One request at a time is enough.
 */
#include "guest/guest.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define REQUEST_MAX 2048
#define DEFAULT_SET 64
#define TIMEOUT_S   2

/* The value of "key=" in a query, or NULL. */
static const char *
query_value(const char *query, const char *key)
{
    size_t len = strlen(key);

    for (const char *p = query; p && *p; p = strchr(p, '&')) {
        if (*p == '&')
            p++;
        if (!strncmp(p, key, len) && p[len] == '=')
            return p + len + 1;
    }
    return NULL;
}

/* As its kernel sees it now; 0: it does not say. */
static unsigned long long
disk_bytes(void)
{
    unsigned long long sectors = 0;
    FILE *size = fopen("/sys/block/vda/size", "re");

    if (size && fscanf(size, "%llu", &sectors) != 1)
        sectors = 0;
    if (size)
        fclose(size);
    return sectors * 512;
}

static void
answer_stats(FILE *out)
{
    fprintf(out, "{\"name\":\"%s\",\"boot_id\":\"%s\",\"uptime_s\":%.3f,\"wall_s\":%.6f,",
            guest_facts.name, guest_facts.boot_id_text, guest_monotonic_ns() / 1e9,
            guest_wall_ns() / 1e9);
    writer_stats(out);
    fputc(',', out);
    dirtier_stats(out);
    fprintf(out, ",\"disk_bytes\":%llu}\n", disk_bytes());
}

/* Writes the body and returns the status. */
static int
answer(const char *path, const char *query, FILE *out)
{
    const char *rate = query_value(query, "rate"), *set = query_value(query, "set");

    if (!strcmp(path, "/")) {
        fprintf(out, "%s up %.1f s\n", guest_facts.name, guest_monotonic_ns() / 1e9);
    } else if (!strcmp(path, "/stats")) {
        answer_stats(out);
    } else if (!strcmp(path, "/load") && rate) {
        if (dirtier_set(atof(rate), set ? atoi(set) : DEFAULT_SET)) {
            fputs("not that much memory\n", out);
            return 400;
        }
        answer_stats(out);
    } else if (!strcmp(path, "/writer") && rate) {
        writer_set(!strncmp(rate, "stop", 4) ? 0 : atof(rate));
        answer_stats(out);
    } else if (!strcmp(path, "/mark") && query_value(query, "text")) {
        if (marker_set(query_value(query, "text"))) {
            fputs("not that much memory\n", out);
            return 400;
        }
        fputs("marked\n", out);
    } else if (!strcmp(path, "/verify")) {
        int findings = writer_verify(out);

        fprintf(out, "%s\n", findings == 0 ? "ok" : "not ok");
        return findings == 0 ? 200 : 500;
    } else if (!strcmp(path, "/off")) {
        guest_power_off();
        fputs("off\n", out);
    } else {
        fputs("try /, /stats, /load?rate=&set=, /mark?text=, /writer?rate=, /verify, /off\n", out);
        return 404;
    }
    return 200;
}

static void
serve(int fd)
{
    char request[REQUEST_MAX] = "", path[REQUEST_MAX], *query, *body = NULL;
    size_t got = 0, size = 0;
    struct timeval limit = {.tv_sec = TIMEOUT_S};
    FILE *out;
    int status;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    while (got < sizeof(request) - 1 && !strstr(request, "\r\n\r\n")) {
        ssize_t n = read(fd, request + got, sizeof(request) - 1 - got);

        if (n <= 0)
            break;
        got += n;
        request[got] = '\0';
    }
    if (sscanf(request, "GET %2000s", path) != 1)
        return;
    query = strchr(path, '?');
    if (query)
        *query++ = '\0';
    out = open_memstream(&body, &size);
    if (!out)
        return;
    status = answer(path, query, out);
    fclose(out);
    dprintf(fd, "HTTP/1.0 %d %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", status,
            status == 200 ? "OK" : "No", size, body);
    free(body);
}

static void *
http_thread(void *arg)
{
    int listener = guest_listen(SOCK_STREAM, GUEST_PORT_HTTP);

    (void)arg;
    while (listener >= 0) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd < 0)
            continue;
        serve(fd);
        shutdown(fd, SHUT_WR);
        close(fd);
    }
    return NULL;
}

void
http_start(void)
{
    guest_thread(http_thread, NULL);
}
