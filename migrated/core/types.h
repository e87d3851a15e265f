/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* types.h - the daemon's own words for nodes, VMs, images and volumes. */
#pragma once

#include <glib.h>

/*
 * Plain structs between api, core and drivers, so that no layer sees another one's library: drivers
 * turn csv, libvirt and sanlock structs into these, the api turns these into messages. Strings are
 * owned by the struct and freed by the _free function beside it. Sizes are bytes.
 */

#define MIG_MAX_VM_SLOTS   4096
#define MIG_NODE_NOTES_MAX 3071

typedef struct {
    guint32 host_id; /* sanlock's; 1 and up */
    char *name;
    char *management; /* address of the peer channel */
    guint16 port;
    char *migration; /* address with prefix length: 10.0.1.3/24 */
    char *cpu_vendor;
    guint64 memory_bytes;
    guint64 memory_free_bytes;
    guint32 cpus;
    gboolean is_draining;
    gboolean has_watchdog;
    gboolean has_left;   /* stopped in an orderly way */
    gboolean is_passive; /* [failover] enabled = no: it fences nobody, restarts nothing */
    gboolean encrypts;   /* memory on the move; not set by versions that cannot */
    guint64 heartbeat;
    guint64 host_generation;
    char *version;
    char *notes;                          /* newest lines of its time line, or NULL */
    GBytes *certificates;                 /* its roots, DER, one after the other; NULL: none */
    guint8 running[MIG_MAX_VM_SLOTS / 8]; /* bit per VM slot of this volume */
} MigNode;

/* What a move does about a guest that dirties its memory faster than the link carries it; the table
 * is in policy.c. As on the LUN. */
typedef enum {
    MIG_POLICY_UNSET, /* whoever is asked next says it: move, VM, configuration, then fast */
    MIG_POLICY_FAST,
    MIG_POLICY_GENTLE,
    MIG_POLICY_MUST_FINISH,
    MIG_POLICY_NEVER_POSTCOPY,
    MIG_POLICY_COUNT,
} MigPolicyKind;

/* NULL: unset. */
const char *mig_policy_kind_name(MigPolicyKind kind);
/* FALSE: no such policy. NULL: unset. */
gboolean mig_policy_kind_from_name(const char *name, MigPolicyKind *kind);

/* When a VM that is wanted is started again by the cluster. As on the LUN. */
typedef enum {
    MIG_RESTART_ON_NODE_DEATH, /* where its node died */
    MIG_RESTART_ALWAYS,        /* and where it ended by itself */
    MIG_RESTART_NEVER,
} MigRestart;

const char *mig_restart_name(MigRestart restart);
/* FALSE: no such policy. */
gboolean mig_restart_from_name(const char *name, MigRestart *restart);

typedef struct {
    char *volume;
    guint32 slot;
    char *name;
    char *uuid;
    gboolean wants_running;
    guint32 priority;
    MigRestart restart;
    gboolean restarts_on_isolation; /* its node is cut off: end it there, start it elsewhere */
    guint32 prefer_host_id;         /* 0: none */
    guint32 move_policy;  /* MigPolicyKind; a later version may have set one unknown here */
    char **affinity;      /* names of VMs of the volume to be with; NULL: none */
    char **anti_affinity; /* never to be with */
    char **start_after;   /* that have to run before */
    guint64 memory_bytes;
    guint32 vcpus;
    guint32 last_host_id;
    char *definition; /* libvirt XML without the lease; NULL in listings */
} MigVm;

typedef struct {
    char *volume;
    char *name;
    guint64 size_bytes;
    char *owner; /* VM name or "" */
    guint32 extents;
    gboolean is_shared;
    gboolean is_active; /* on this node */
    char *uuid;
    guint64 generation; /* of its slot: each change is one more */
} MigImage;

#define MIG_MAP_CELLS 64

typedef struct {
    char *name;
    char *uuid;
    char *device;
    gboolean is_one_host; /* a directory on a file system of this host, as far as its name says */
    guint32 sector_bytes;
    guint32 io_timeout_s;
    guint64 size_bytes, used_bytes, free_bytes, largest_free_bytes, extent_bytes;
    guint64 spare_bytes;         /* that the LUN has grown by and the volume has not */
    guint32 free_runs;           /* pieces that the free space is in */
    char map[MIG_MAP_CELLS + 1]; /* a picture of it: '.' free, '-' and '+' partly, '#' used */
    guint32 images, vms;
    guint32 max_nodes, max_vms, max_images;
} MigVolumeInfo;

/* What sanlock's leader record on the LUN says about a lease. */
typedef struct {
    guint64 host_id; /* 0: free */
    guint64 host_generation;
    guint64 version;
    guint64 last_host_id; /* who had it last where it is free, 0: nobody yet */
} MigLeaseOwner;

/* Where a lease is; what sanlock and libvirt's <lease> want to know. */
typedef struct {
    char *lockspace;
    char *resource;
    char *path;
    guint64 offset_bytes;
    guint32 sector_bytes;
} MigLease;

/* Whose catalogue writes these are (libcsv's struct csv_epoch). */
typedef struct {
    guint64 version;
    guint64 host_generation;
    guint32 host_id;
    const char *request; /* for which request, a uuid; NULL: none that could be asked again */
} MigEpoch;

typedef enum {
    MIG_DOMAIN_UNKNOWN, /* nobody could be asked */
    MIG_DOMAIN_ABSENT,
    MIG_DOMAIN_RUNNING,
    MIG_DOMAIN_PAUSED,   /* exists, stands still */
    MIG_DOMAIN_INCOMING, /* either half of a move that libvirt is not through with */
    MIG_DOMAIN_IO_ERROR, /* stands still since its disk failed */
    /* the receiving half of a move in its post-copy phase: it runs, and part of its memory is still
     * on the other node. In MigHv.list() that is RUNNING, with is_half */
    MIG_DOMAIN_POSTCOPY,
    MIG_DOMAIN_POSTCOPY_FAILED, /* the same, and the link to the other half is lost */
} MigDomainState;

const char *mig_domain_state_name(MigDomainState state);
MigDomainState mig_domain_state_from_name(const char *name);

typedef struct {
    char *name;
    char *uuid;
    char *volume;  /* lockspace of its lease; NULL: not a VM of ours */
    char **images; /* "volume/image" for each disk under /dev/csv */
    MigDomainState state;
    gboolean is_leaving; /* INCOMING: the half that sends */
    gboolean is_half;    /* RUNNING: as MIG_DOMAIN_POSTCOPY says; IO_ERROR: so was it */
    gboolean is_broken;  /* is_half: as MIG_DOMAIN_POSTCOPY_FAILED says */
    gboolean is_unsure;  /* is_half, IO_ERROR: or it is whole, libvirt cannot tell for now */
} MigDomain;

typedef struct {
    char *cpu_vendor;
    guint64 memory_bytes;
    guint64 memory_free_bytes;
    guint32 cpus;
    gint64 qemu_user, qemu_group; /* uid and gid that QEMU runs with; -1: not known */
} MigHost;

void mig_node_free(MigNode *node);
/* Is its version one that understands for whom another node asks (0.2)? */
gboolean mig_node_hears_callers(const MigNode *node);
/* Does its version know policies of moves, jobs that are changed as they run, and that a
 * coordinator may stay (0.3)? */
gboolean mig_node_is_of_0_3(const MigNode *node);
void mig_vm_free(MigVm *vm);
void mig_image_free(MigImage *image);
void mig_volume_info_free(MigVolumeInfo *info);
void mig_lease_free(MigLease *lease);
void mig_domain_free(MigDomain *domain);
void mig_host_free(MigHost *host);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigNode, mig_node_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigVm, mig_vm_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigImage, mig_image_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigVolumeInfo, mig_volume_info_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigLease, mig_lease_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigDomain, mig_domain_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigHost, mig_host_free)

MigNode *mig_node_copy(const MigNode *node);
