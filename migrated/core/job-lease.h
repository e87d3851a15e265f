/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* job-lease.h - whose lease a VM has been since its move began. */
#pragma once

#include "core/job-source.h"
#include "core/recover.h"

/* Fills what facts says of the lease. Asks the target, and waits for it, only where that can make a
 * difference. *owner: as MigVolumePort has it, g_free(). */
void mig_job_look_at_lease(const MigJob *job, const MigJobEnv *env, MigRecoverFacts *facts,
                           char **owner);

/* Lets it go on here: decide first. Whether that works or not, libvirt has taken the lease once
 * more where it came so far, and that is nobody else's doing. before: the lease's version as it was
 * decided. */
gboolean mig_job_resume_here(MigJob *job, const MigJobEnv *env, guint64 before, GError **error);
