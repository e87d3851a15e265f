/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* store-file.h - the journal of jobs: one JSON file each, in the state directory. */
#pragma once

#include "core/store.h"
#include "rpc/api-types.h"

typedef struct MigStoreFile MigStoreFile;

/* directory is made if needed. keep: how many ended jobs stay. */
MigStoreFile *mig_store_file_new(const char *directory, guint keep, GError **error);
void mig_store_file_free(MigStoreFile *file);
const MigStore *mig_store_file_port(MigStoreFile *file);
/* All jobs on disk, oldest first: GPtrArray of MigJob. What cannot be read is logged and left. */
GPtrArray *mig_store_file_load(MigStoreFile *file);

/* GPtrArray of MigCheck as one of MigApiCheck. */
GPtrArray *mig_checks_to_message(const GPtrArray *checks);
/* A job as a message, for the journal and for the API. Caller holds the job's lock. */
/* NULL: there is none. */
MigApiForecast *mig_forecast_to_message(const MigForecast *forecast);
MigRange mig_range_from_message(const MigApiRange *from);
MigApiJob *mig_job_to_message(const MigJob *job, gint64 now_ms);
/* Back again, from the journal. MIG_ERROR_PROTOCOL where something is missing. */
MigJob *mig_job_from_message(const MigApiJob *from, GError **error);

/* Lists of names that survive a restart (attached volumes): one a line, replaced atomically. */
gboolean mig_store_write_lines(const char *path, const char *const *lines, GError **error);
char **mig_store_read_lines(const char *path);
