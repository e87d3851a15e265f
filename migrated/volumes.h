/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* volumes.h - attached volumes, their heartbeat, and the nodes seen on them. */
#pragma once

#include "core/types.h"
#include "daemon.h"
#include "drivers/volume-csv.h"

typedef enum {
    MIG_NODE_UP,
    MIG_NODE_SUSPECT, /* its counter stands still, sanlock has not said anything yet */
    MIG_NODE_DOWN,    /* sanlock calls the host dead, or it holds no delta lease */
    MIG_NODE_LEFT,    /* stopped in an orderly way */
} MigNodeState;

const char *mig_node_state_name(MigNodeState state);

/* A node as seen from here. */
typedef struct {
    MigNode *node;
    MigNodeState state;
    MigHostState sanlock;
    gint64 age_ms; /* since its counter was last seen to move, by our clock */
    /* for how long a later start of its host than the slot's has the host lease, or
     * MIG_NEVER_ADVANCED (core/failover.h) */
    gint64 advanced_ms;
    gint64 steady_ms; /* is_local: for how long our counter has moved without a gap */
    gboolean is_local;
} MigNodeView;

void mig_node_view_free(MigNodeView *view);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigNodeView, mig_node_view_free)

/* One attached volume; counted, so that a detach cannot pull it away from under a worker. */
typedef struct MigAttached MigAttached;
MigAttached *mig_attached_ref(MigAttached *attached);
void mig_attached_unref(MigAttached *attached);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigAttached, mig_attached_unref)

MigCsv *mig_attached_csv(MigAttached *attached);
/* role.h: who coordinates it */
typedef struct MigRole MigRole;
MigRole *mig_attached_role(MigAttached *attached);
const char *mig_attached_name(MigAttached *attached);
/* "attached", or "lost" where this node's slot cannot be written. */
const char *mig_attached_state(MigAttached *attached);
/* Has it failed, or taken so long that nothing is to be hoped for what runs on it? */
gboolean mig_attached_is_gone(MigAttached *attached);
/* Did the last heartbeat fail? One that is only late has not. */
gboolean mig_attached_has_failed(MigAttached *attached);
/* Its LUN answers, but sanlock has given the lockspace up: no lease is held here. */
gboolean mig_attached_is_outside(MigAttached *attached);
/* Does this very start of this host have that lease? */
gboolean mig_attached_owns(MigAttached *attached, const MigLeaseOwner *owner);
/* Has another node freed the lease of this very start of this host? It was fenced then: cut off
 * from the LUN and left on, or by an agent that lied. Others may start all that ran here. */
gboolean mig_attached_was_fenced(MigAttached *attached);
/* Our sanlock generation in its lockspace. */
guint64 mig_attached_generation(MigAttached *attached);
/* This host forgets that it was a node of the volume, as it leaves the cluster. */
void mig_attached_forget(MigAttached *attached);
/* What this node has written into its slot last; blocks for nobody. */
guint64 mig_attached_heartbeat(MigAttached *attached);
/* Writes this node's slot now. */
gboolean mig_attached_publish(MigAttached *attached, GError **error);
/* libvirt has been asked since the volume was attached: what it did not name does not run here. Any
 * thread. */
void mig_attached_set_listed(MigAttached *attached);
/* This process ends, and the host with it perhaps: what was said to run here stays said. */
void mig_attached_set_ending(MigAttached *attached);
/* Reads all slots anew, where the last heartbeat's view is not good enough. Blocks. */
void mig_attached_look(MigAttached *attached);
/* GPtrArray of MigNodeView, from the last heartbeat. */
GPtrArray *mig_attached_nodes(MigAttached *attached);
/* Asks sanlock at once again of those whose renewals have failed: when it calls them dead, their
 * VMs wait for nothing else. Nothing where there are none. */
void mig_attached_ask_of_failing(MigAttached *attached);
/* Of a host id that has no node: is what it held free? It was removed, and sanlock calls it dead or
 * free. Blocks on the LUN. */
gboolean mig_attached_is_removed(MigAttached *attached, const MigLeaseOwner *owner);
/* Which node has this lease now? NULL: free, or its owner's start is over, or its owner is removed.
 * *view (may be NULL) is the node where it is known. Blocks on the LUN. g_free(). */
char *
mig_attached_owner_name(MigAttached *attached, const MigLeaseOwner *owner, MigNodeView **view);

/* What a node's slot says of its VMs comes from outside: the VMs' table stands on this module, not
 * the other way round. Called from heartbeat threads; must not block. */
typedef struct {
    void (*running_bits)(gpointer self, const char *volume, guint8 bits[MIG_MAX_VM_SLOTS / 8]);
    char *(*first_running)(gpointer self, const char *volume); /* NULL: none. g_free() */
    void (*nodes_seen)(gpointer self); /* after each reading of the slots, and when a volume goes */
    gpointer self;
} MigVolumesHooks;

MigVolumes *mig_volumes_new(MigDaemon *daemon, const MigVolumesHooks *hooks);
/* Stops heartbeats. Lockspaces stay: VMs run on. */
void mig_volumes_free(MigVolumes *volumes);

/* Joins the lockspace (seconds), publishes this node, and remembers the device for the next start.
 */
MigAttached *mig_volumes_attach(MigVolumes *volumes, const char *device, GError **error);
/* Attaches what the config and earlier attaches name; failures are logged, see the next one. */
void mig_volumes_attach_configured(MigVolumes *volumes);
/* When a volume came or went here last, monotonic; now, while such are being attached that are
 * missing. */
gint64 mig_volumes_changed_us(MigVolumes *volumes);
/* Tries those again that could not be attached: a LUN may come later than its host. How many came.
 */
guint mig_volumes_attach_missing(MigVolumes *volumes);
gboolean mig_volumes_detach(MigVolumes *volumes, const char *name, GError **error);
/* MIG_ERROR_VOLUME_UNKNOWN */
MigAttached *mig_volumes_get(MigVolumes *volumes, const char *name, GError **error);
/* GPtrArray of MigAttached references */
GPtrArray *mig_volumes_list(MigVolumes *volumes);
/* Those that are not lost to this node. */
guint mig_volumes_count_alive(MigVolumes *volumes);
/* Of these "UUID HEARTBEAT" each, for signs.h of other nodes. g_strfreev() */
char **mig_volumes_beats(MigVolumes *volumes);
/* By name over all volumes: GPtrArray of MigNodeView, sorted by host id. */
GPtrArray *mig_volumes_nodes(MigVolumes *volumes);
/* MIG_ERROR_NODE_UNKNOWN. Free with mig_node_view_free(). */
MigNodeView *mig_volumes_node(MigVolumes *volumes, const char *name, GError **error);

/* This host's facts for the node slots; refreshed by the facts thread, never by a heartbeat. */
void mig_volumes_set_host(MigVolumes *volumes, const MigHost *host);
/* What sanlock's watchdog does for this node; published from then on. */
void mig_volumes_set_armed(MigVolumes *volumes, gboolean is_armed);
void mig_volumes_set_ending(MigVolumes *volumes); /* of each */
/* Nothing comes here any more; published with the next writing of the slots. */
void mig_volumes_set_draining(MigVolumes *volumes, gboolean is_draining);
/* As it was set; the slot says so a heartbeat later. */
gboolean mig_volumes_is_draining(MigVolumes *volumes);
/* Free memory as last seen, less what the config keeps back; cpu vendor: g_free(). */
guint64 mig_volumes_memory_free(MigVolumes *volumes);
char *mig_volumes_cpu_vendor(MigVolumes *volumes);
