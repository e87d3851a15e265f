/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* forward.h - passing calls on to the node that they concern. */
#pragma once

#include "drivers/peer-rpc.h"
#include "rpc/server.h"

/*
 * A call whose answer comes at once is passed on by the worker that has it. A stream may last for
 * days: it has a thread of its own, so that those that watch keep nobody from being answered, and
 * ends when its client hangs up. There are at most so many at a time, a further one is refused
 * (MIG_ERROR_BUSY): of those that only look (READ) the last quarter is root's, and they take none
 * of the places of those that move.
 */
#define MIG_FORWARD_STREAMS 64
#define MIG_FORWARD_MOVES   256

typedef struct {
    const char *node, *method; /* of io.migrated.Peer */
    const MigType *request_type, *reply_type;
    gconstpointer request; /* belongs to the call */
    guint timeout_ms;      /* of a call without a stream; 0: the usual one */
} MigForward;

/* Takes the call, and finishes it with that node's answer; progress too. May block for as long as
 * a call without a stream takes. Any thread. */
void mig_forward(MigPeerRpc *peer, MigRpcCall *call, const MigForward *forward);
