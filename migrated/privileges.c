/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* privileges.c - the daemon gives up what root may do and it never does. */
#include "privileges.h"

#include "base/log.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const int kept[] = {CAP_SYS_ADMIN, CAP_MKNOD,  CAP_DAC_OVERRIDE,
                           CAP_CHOWN,     CAP_FOWNER, CAP_NET_RAW};
/* fence agents that register keys; where the unit grants it */
#define FOR_AGENTS CAP_SYS_RAWIO

/* The kernel's own calls: there is no more to it than this, and no library that we had already. The
 * first thread does it before there are others, which get the same. */
void
mig_privileges_drop(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};
    guint64 mask = G_GUINT64_CONSTANT(1) << FOR_AGENTS;

    if (syscall(SYS_capget, &header, data) < 0) {
        g_warning("cannot ask for capabilities: %s", g_strerror(errno));
        return;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(kept); i++)
        mask |= G_GUINT64_CONSTANT(1) << kept[i];
    /* first the bound of what children may have: it takes CAP_SETPCAP, which goes with the rest */
    for (int cap = 0; cap < 64 && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
        if (!(mask >> cap & 1))
            prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); /* fails where it is not ours: fine */
    }
    for (guint i = 0; i < G_N_ELEMENTS(data); i++) {
        data[i].permitted &= (guint32)(mask >> (32 * i));
        data[i].effective = data[i].permitted;
        data[i].inheritable = 0;
    }
    /* a child of root's has it again: what it may have is what we may */
    data[CAP_TO_INDEX(FOR_AGENTS)].effective &= ~CAP_TO_MASK(FOR_AGENTS);
    if (syscall(SYS_capset, &header, data) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        g_warning("cannot give up capabilities: %s", g_strerror(errno));
}
