/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* io-pause.c - the decision of io-pause.h. */
#include "core/io-pause.h"

static gint64
wait_ms(guint resumed)
{
    if (resumed == 0)
        return 0;
    return MIN((gint64)MIG_IO_PAUSE_AGAIN_MS << MIN(resumed - 1, 10u), MIG_IO_PAUSE_AGAIN_MAX_MS);
}

gboolean
mig_io_pause_is_as_held(guint64 held, guint64 now, gboolean is_last_here)
{
    return held && (now == held || (is_last_here && now == held + 1));
}

MigIoPauseAction
mig_io_pause_decide(const MigIoPause *pause)
{
    /* its lease fell with the lockspace, whatever the LUN still says */
    if (pause->is_lockspace_gone)
        return MIG_IO_PAUSE_END;
    if (!pause->is_volume_here || !pause->is_lease_known)
        return MIG_IO_PAUSE_WAIT;
    if (pause->is_half)
        return pause->is_free || pause->is_ours ? MIG_IO_PAUSE_WAIT : MIG_IO_PAUSE_END;
    if (pause->is_free ? !pause->is_as_held : !pause->is_ours)
        return MIG_IO_PAUSE_END;
    if (pause->failed >= MIG_IO_PAUSE_RESUMES)
        return MIG_IO_PAUSE_END;
    return pause->since_ms < wait_ms(pause->resumed) ? MIG_IO_PAUSE_WAIT : MIG_IO_PAUSE_RESUME;
}
