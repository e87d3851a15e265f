/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* log.h - structured logging with a fixed set of fields. */
#pragma once

#include <glib.h>

#include "base/names.h"

/*
 * One log line says what happened, and its fields say to whom: a job, a domain (VM), a peer (node),
 * a state, a lease. In the journal they are fields of their own (names.h); on a plain stderr they
 * are printed behind the text. Levels: debug = for developers; info = what was done; message =
 * events (with an id); warning = something is wrong, and we go on; critical = a bug of ours.
 */

typedef struct {
    const char *job;
    const char *domain;
    const char *peer;
    const char *state;
    const char *lease;
    const char *from, *method, *result, *caller; /* of a call */
} MigLogFields;

/* Installs the writer: the journal if stderr is connected to it, else stderr with the time.
 * debug: debug lines too (MIGRATED_DEBUG=1 does the same). GLib criticals become fatal: restart and
 * journal are the tested path, going on after a bug is not. Once, before threads are started. */
void mig_log_init(gboolean debug);

/* message_id: a MIG_ID_* or NULL. fields may be NULL, and so may any of its members. */
void mig_log_full(GLogLevelFlags level, const char *message_id, const MigLogFields *fields,
                  const char *format, ...) G_GNUC_PRINTF(4, 5);

/* mig_log_event(MIG_ID_MOVE_DONE, MIG_FIELDS(.job = id, .domain = vm), "...", ...) */
#define MIG_FIELDS(...)                (&(MigLogFields){__VA_ARGS__})
#define mig_log_event(id, fields, ...) mig_log_full(G_LOG_LEVEL_MESSAGE, id, fields, __VA_ARGS__)
#define mig_log_debug(fields, ...)     mig_log_full(G_LOG_LEVEL_DEBUG, NULL, fields, __VA_ARGS__)
#define mig_log_info(fields, ...)      mig_log_full(G_LOG_LEVEL_INFO, NULL, fields, __VA_ARGS__)
#define mig_log_warning(fields, ...)   mig_log_full(G_LOG_LEVEL_WARNING, NULL, fields, __VA_ARGS__)

/* Against floods: a few lines of one kind in ten seconds, then none. Zero-initialized; any thread.
 */
typedef struct {
    gint64 window_us; /* when it began */
    guint lines, skipped;
} MigLogLimit;

/* May one more be logged now? If so, *skipped: how many before it were not. */
gboolean mig_log_allow(MigLogLimit *limit, guint *skipped);

/* text with control characters and bytes that are not UTF-8 written as \xNN: safe for a
 * terminal and for one line of a log. NULL gives "". g_free() */
char *mig_log_escape(const char *text);
