/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* job-check.h - all checks of one move, for the move itself and for who only asks. */
#pragma once

#include "core/job-source.h"

/* Appends the checks to checks; blocks. FALSE where one could not be made: then nothing can be said
 * of the move. Keeps in job what the move needs of it: version of the lease, kind of memory. */
gboolean mig_job_check(MigJob *job, const MigJobEnv *env, GPtrArray *checks, GError **error);
