/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* log.c - the log writer. */

#include "base/log.h"

#include <stdio.h>
#include <string.h>

static gboolean log_debug;

#define LIMIT_WINDOW_US (10 * G_USEC_PER_SEC)
#define LIMIT_LINES     5

/* The field names in the order in which a plain stderr shows them. */
static const struct {
    const char *field;
    const char *label;
} log_labels[] = {
    {MIG_NAME_JOB, "job"},     {MIG_NAME_DOMAIN, "domain"}, {MIG_NAME_PEER, "peer"},
    {MIG_NAME_STATE, "state"}, {MIG_NAME_LEASE, "lease"},
    /* not MIGRATED_FROM, _METHOD and _RESULT: the text has them */
};

char *
mig_log_escape(const char *text)
{
    g_autoptr(GString) out = g_string_new(NULL);

    while (text && *text) {
        gunichar c = g_utf8_get_char_validated(text, -1);
        const char *next;

        if (c == (gunichar)-1 || c == (gunichar)-2) {
            g_string_append_printf(out, "\\x%02x", (guchar)*text);
            text++;
            continue;
        }
        next = g_utf8_next_char(text);
        if (g_unichar_iscntrl(c) || g_unichar_type(c) == G_UNICODE_FORMAT ||
            g_unichar_type(c) == G_UNICODE_LINE_SEPARATOR ||
            g_unichar_type(c) == G_UNICODE_PARAGRAPH_SEPARATOR) {
            for (; text < next; text++)
                g_string_append_printf(out, "\\x%02x", (guchar)*text);
        }
        g_string_append_len(out, text, next - text);
        text = next;
    }
    return g_string_free(g_steal_pointer(&out), FALSE);
}

static const char *
level_name(GLogLevelFlags level)
{
    if (level & G_LOG_LEVEL_ERROR)
        return "error";
    if (level & G_LOG_LEVEL_CRITICAL)
        return "critical";
    if (level & G_LOG_LEVEL_WARNING)
        return "warning";
    if (level & G_LOG_LEVEL_MESSAGE)
        return "event";
    if (level & G_LOG_LEVEL_INFO)
        return "info";
    return "debug";
}

static char *
field_text(const GLogField *fields, gsize count, const char *name)
{
    for (gsize i = 0; i < count; i++) {
        if (!g_str_equal(fields[i].key, name))
            continue;
        if (fields[i].length < 0)
            return g_strdup(fields[i].value);
        return g_strndup(fields[i].value, (gsize)fields[i].length);
    }
    return NULL;
}

static void
write_plain(GLogLevelFlags level, const GLogField *fields, gsize count)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    g_autofree char *time = g_date_time_format(now, "%F %T");
    g_autofree char *raw = field_text(fields, count, "MESSAGE");
    g_autofree char *text = mig_log_escape(raw);
    g_autoptr(GString) line = g_string_new(NULL);

    g_string_append_printf(line, "%s.%03d %s: %s", time, g_date_time_get_microsecond(now) / 1000,
                           level_name(level), text);
    for (gsize i = 0; i < G_N_ELEMENTS(log_labels); i++) {
        g_autofree char *value = field_text(fields, count, log_labels[i].field);

        if (value) {
            g_autofree char *safe = mig_log_escape(value);
            g_string_append_printf(line, " %s=%s", log_labels[i].label, safe);
        }
    }
    g_string_append_c(line, '\n');
    /* one write a line, so that lines of threads do not mix */
    fwrite(line->str, 1, line->len, stderr);
    fflush(stderr);
}

static GLogWriterOutput
log_writer(GLogLevelFlags level, const GLogField *fields, gsize count, gpointer user_data)
{
    if ((level & G_LOG_LEVEL_DEBUG) && !log_debug)
        return G_LOG_WRITER_HANDLED;
    if (g_log_writer_is_journald(fileno(stderr)) &&
        g_log_writer_journald(level, fields, count, NULL) == G_LOG_WRITER_HANDLED)
        return G_LOG_WRITER_HANDLED;
    write_plain(level, fields, count);
    return G_LOG_WRITER_HANDLED;
}

void
mig_log_init(gboolean debug)
{
    const char *env = g_getenv(MIG_ENV_DEBUG);

    log_debug = debug || (env && *env && !g_str_equal(env, "0"));
    g_log_set_writer_func(log_writer, NULL, NULL);
    g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
}

static void
add_field(GLogField *fields, gsize *count, const char *key, const char *value)
{
    if (value)
        fields[(*count)++] = (GLogField){.key = key, .value = value, .length = -1};
}

/* syslog's numbers, as the journal wants them */
static const char *
level_priority(GLogLevelFlags level)
{
    if (level & G_LOG_LEVEL_ERROR)
        return "3";
    if (level & (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING))
        return "4";
    if (level & G_LOG_LEVEL_MESSAGE)
        return "5";
    if (level & G_LOG_LEVEL_INFO)
        return "6";
    return "7";
}

void
mig_log_full(GLogLevelFlags level, const char *message_id, const MigLogFields *fields,
             const char *format, ...)
{
    GLogField list[16];
    gsize count = 0;
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);

    add_field(list, &count, "MESSAGE", text);
    add_field(list, &count, "PRIORITY", level_priority(level));
    add_field(list, &count, "GLIB_DOMAIN", G_LOG_DOMAIN);
    add_field(list, &count, "MESSAGE_ID", message_id);
    if (fields) {
        add_field(list, &count, MIG_NAME_JOB, fields->job);
        add_field(list, &count, MIG_NAME_DOMAIN, fields->domain);
        add_field(list, &count, MIG_NAME_PEER, fields->peer);
        add_field(list, &count, MIG_NAME_STATE, fields->state);
        add_field(list, &count, MIG_NAME_LEASE, fields->lease);
        add_field(list, &count, MIG_NAME_FROM, fields->from);
        add_field(list, &count, MIG_NAME_METHOD, fields->method);
        add_field(list, &count, MIG_NAME_RESULT, fields->result);
        add_field(list, &count, MIG_NAME_CALLER, fields->caller);
    }
    g_log_structured_array(level, list, count);
}

/* ---- floods ---- */

gboolean
mig_log_allow(MigLogLimit *limit, guint *skipped)
{
    static GMutex lock; /* one for all: it is held for nanoseconds */
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);
    gint64 now_us = g_get_monotonic_time();

    *skipped = 0;
    if (!limit->window_us || now_us - limit->window_us > LIMIT_WINDOW_US) {
        limit->window_us = now_us;
        limit->lines = 0;
    }
    if (limit->lines >= LIMIT_LINES) {
        limit->skipped++;
        return FALSE;
    }
    limit->lines++;
    *skipped = limit->skipped;
    limit->skipped = 0;
    return TRUE;
}
