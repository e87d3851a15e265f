/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ask.h - one question to the daemon of this node. */
#pragma once

#include "domain-scan.h"
#include "reply.h"

#include <stdbool.h>

enum ask {
    ASK_YES,
    ASK_NO,        /* reason says why */
    ASK_NO_DAEMON, /* reason says what went wrong */
    ASK_GARBAGE,   /* it talks, but not so that it can be understood */
};

/* Blocks, for good where the daemon hangs: the caller has an alarm. is_oneway: told, no answer is
 * waited for. */
enum ask ask_daemon(const char *socket_path, const char *op, const char *vm,
                    const struct domain_scan *domain, bool is_oneway, char reason[REPLY_TEXT]);
