/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* events.c - the ring of events.h, and its file. */
#include "events.h"

#include "base/log.h"
#include "rpc/api-types.h"

#include <stdio.h>
#include <string.h>

#define KEPT      500
#define FILE_NAME "events"

/* One line of the file: at, subject, about, what, text, with tabs between. */
#define FIELDS 5

struct MigEvents {
    MigDaemon *daemon;
    char *path;
    GMutex file_lock; /* taken before the other one; a disk that hangs keeps it */
    guint unsaved;    /* lines appended since the file was written whole; guarded by file_lock */
    GMutex lock;      /* guards ring; never held over I/O: heartbeats ask for notes */
    GPtrArray *ring;  /* MigApiEvent, oldest first */
};

static MigApiEvent *
event_new(const char *node, gint64 at, const char *subject, const char *about, const char *what,
          const char *text)
{
    MigApiEvent *event = mig_ApiEvent_new();

    event->at = at;
    event->node = g_strdup(node);
    event->subject = g_strdup(subject);
    event->about = about && *about ? g_strdup(about) : NULL;
    event->what = g_strdup(what);
    event->text = g_strdup(text);
    return event;
}

static MigApiEvent *
event_copy(const MigApiEvent *event)
{
    return event_new(event->node, event->at, event->subject, event->about, event->what,
                     event->text);
}

static char *
event_line(const MigApiEvent *event)
{
    return g_strdup_printf("%" G_GINT64_FORMAT "\t%s\t%s\t%s\t%s\n", event->at, event->subject,
                           event->about ? event->about : "", event->what, event->text);
}

/* NULL: it is none. */
static MigApiEvent *
event_parse(const char *node, const char *line)
{
    g_auto(GStrv) fields = NULL;
    gint64 at;

    if (!g_utf8_validate(line, -1, NULL))
        return NULL;
    fields = g_strsplit(line, "\t", FIELDS);
    if (g_strv_length(fields) != FIELDS ||
        !g_ascii_string_to_signed(fields[0], 10, 0, G_MAXINT64, &at, NULL))
        return NULL;
    return event_new(node, at, fields[1], fields[2], fields[3], fields[4]);
}

static gboolean
is_about(const MigApiEvent *event, const char *name)
{
    return !name || g_str_equal(event->subject, name) || g_strcmp0(event->about, name) == 0;
}

/* file_lock held. A lost line is no harm: it is for people. */
static void
save(MigEvents *events, const char *line)
{
    if (events->unsaved++ < KEPT) {
        FILE *file = fopen(events->path, "ae");

        if (file) {
            fputs(line, file);
            fclose(file);
        }
        return;
    }
    g_autoptr(GString) all = g_string_new(NULL);

    g_mutex_lock(&events->lock);
    for (guint i = 0; i < events->ring->len; i++) {
        g_autofree char *one = event_line(g_ptr_array_index(events->ring, i));

        g_string_append(all, one);
    }
    g_mutex_unlock(&events->lock);
    g_file_set_contents(events->path, all->str, (gssize)all->len, NULL);
    events->unsaved = 0;
}

void
mig_events_add(MigEvents *events, const char *subject, const char *about, const char *what,
               const char *format, ...)
{
    g_autofree char *text = NULL, *line = NULL, *saved = NULL;
    MigApiEvent *event;
    va_list arguments;

    va_start(arguments, format);
    text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    line = mig_log_escape(text);
    g_message("%s: %s: %s", subject, what, line);
    event = event_new(events->daemon->node, g_get_real_time() / 1000, subject, about, what, line);
    saved = event_line(event);
    g_mutex_lock(&events->file_lock);
    g_mutex_lock(&events->lock);
    g_ptr_array_add(events->ring, event);
    if (events->ring->len > KEPT)
        g_ptr_array_remove_index(events->ring, 0);
    g_mutex_unlock(&events->lock);
    save(events, saved);
    g_mutex_unlock(&events->file_lock);
}

GPtrArray *
mig_events_list(MigEvents *events, const char *name)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&events->lock);
    GPtrArray *list = mig_message_array_new(&mig_type_ApiEvent);

    for (guint i = 0; i < events->ring->len; i++) {
        const MigApiEvent *event = g_ptr_array_index(events->ring, i);

        if (is_about(event, name))
            g_ptr_array_add(list, event_copy(event));
    }
    return list;
}

char *
mig_events_notes(MigEvents *events)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&events->lock);
    GString *notes = g_string_new(NULL);

    for (guint i = events->ring->len; i > 0; i--) {
        g_autofree char *line = event_line(g_ptr_array_index(events->ring, i - 1));

        if (notes->len + strlen(line) > MIG_NODE_NOTES_MAX)
            break;
        g_string_prepend(notes, line);
    }
    return g_string_free(notes, FALSE);
}

GPtrArray *
mig_events_from_notes(const char *node, const char *notes, const char *name)
{
    g_auto(GStrv) lines = g_strsplit(notes ? notes : "", "\n", -1);
    GPtrArray *list = mig_message_array_new(&mig_type_ApiEvent);

    for (guint i = 0; lines[i]; i++) {
        MigApiEvent *event = event_parse(node, lines[i]);

        if (event && is_about(event, name))
            g_ptr_array_add(list, event);
        else if (event)
            mig_ApiEvent_free(event);
    }
    return list;
}

static void
load(MigEvents *events)
{
    g_auto(GStrv) lines = mig_store_read_lines(events->path);
    guint count = g_strv_length(lines);

    for (guint i = count > KEPT ? count - KEPT : 0; i < count; i++) {
        MigApiEvent *event = event_parse(events->daemon->node, lines[i]);

        if (event)
            g_ptr_array_add(events->ring, event);
    }
    events->unsaved = count;
}

MigEvents *
mig_events_new(MigDaemon *daemon)
{
    MigEvents *events = g_new0(MigEvents, 1);

    events->daemon = daemon;
    events->path = g_build_filename(daemon->config->state_dir, FILE_NAME, NULL);
    events->ring = mig_message_array_new(&mig_type_ApiEvent);
    g_mutex_init(&events->file_lock);
    g_mutex_init(&events->lock);
    load(events);
    return events;
}
