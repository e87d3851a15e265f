/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hv.h - port: the hypervisor of this node (libvirt). */
#pragma once

#include "core/job.h"
#include "core/needs.h"
#include "core/switchover.h"
#include "core/types.h"

/* What a migration needs to be told. */
typedef struct {
    const char *vm, *uuid;
    const char *target_uri;    /* how this node's libvirtd reaches the target's */
    const char *ram_address;   /* where the target listens for it, on no other address */
    const char *ram_uri;       /* tcp://<migration address of the target> */
    const char *tls_name;      /* what the target's certificate must be of; NULL: clear text */
    guint64 bandwidth_bytes_s; /* 0: no limit */
    guint downtime_ms;         /* the limit to begin with */
    guint throttle_first, throttle_step; /* of the guest's CPU time, percent; 0: it is not slowed */
    gboolean may_postcopy;               /* start_postcopy() shall work; not with channels */
    gboolean is_recovery; /* the rest of one whose link was lost in its post-copy phase */
    guint channels;       /* parallel connections; 0: one */
} MigMigration;

/* How much of its memory a guest uses, and how much of it it wrote to. */
typedef struct {
    guint64 used_bytes; /* resident in its QEMU; 0: not known */
    guint64 vcpu_us;    /* what one of its processors has run so far, in the mean; 0: not known */
    MigDirtied dirtied; /* in the period that was asked for last */
    gboolean has_moved; /* its QEMU came here by a move */
    gboolean is_done;   /* else it is still being counted */
} MigMeter;

/*
 * All calls block and may be made from any worker thread. A domain is named by name and uuid; a
 * domain of that name with another uuid is an error (MIG_ERROR_EXISTS), never acted upon.
 */
typedef struct {
    gpointer self;
    /* Creates a transient domain. MIG_ERROR_LEASE_HELD where sanlock refused. */
    gboolean (*start)(gpointer self, const char *xml, GError **error);
    /* Presses the power button. */
    gboolean (*shutdown)(gpointer self, const char *vm, const char *uuid, GError **error);
    /* Pulls its plug; absent is success. */
    gboolean (*destroy)(gpointer self, const char *vm, const char *uuid, GError **error);
    /* Lets a paused domain run; libvirt takes its lease again first, or fails. */
    /* The process of an active domain, as this host counts; 0 with an error. */
    int (*get_pid)(gpointer self, const char *vm, GError **error);
    gboolean (*resume)(gpointer self, const char *vm, const char *uuid, GError **error);
    gboolean (*get_state)(gpointer self, const char *vm, const char *uuid, MigDomainState *state,
                          GError **error);
    /* Of one that is not there any more: did its guest power it off? FALSE also where that is not
     * known. */
    gboolean (*was_shut_down)(gpointer self, const char *vm);
    /* Of one that runs: its QEMU began with no guest, and not with one that came by a move. FALSE
     * also where that is not known. */
    gboolean (*was_booted)(gpointer self, const char *vm);
    /* Has one of its disks failed since it was let run last? QEMU knows that as long as it stands
     * still for it, whatever libvirt calls the reason. */
    gboolean (*has_disk_error)(gpointer self, const char *vm, const char *uuid);
    /* Of one that receives by post-copy: it waits for a page that does not come, in a place where
     * it hears nobody, and who asks libvirt about it waits with it. */
    gboolean (*is_stuck)(gpointer self, const char *vm);
    /* Live, peer to peer; returns when libvirt is through with it. FALSE does not say where the
     * VM is now: ask both sides (core/recover.h). */
    gboolean (*migrate)(gpointer self, const MigMigration *migration, GError **error);
    gboolean (*get_progress)(gpointer self, const char *vm, MigProgress *progress, GError **error);
    gboolean (*set_max_downtime)(gpointer self, const char *vm, guint ms, GError **error);
    /* bytes_s: not 0; at once, also of a migration that runs. */
    gboolean (*set_bandwidth)(gpointer self, const char *vm, guint64 bytes_s, GError **error);
    /* Of what goes over in the post-copy phase unasked; pages that the guest waits for are not
     * counted. Before that phase, or in it. */
    gboolean (*set_postcopy_bandwidth)(gpointer self, const char *vm, guint64 bytes_s,
                                       GError **error);
    /* Refused once the guest has been stopped for its hand-over, or runs on the target. */
    gboolean (*abort)(gpointer self, const char *vm, GError **error);
    /* The target runs it as soon as QEMU can; again and again does no harm. */
    gboolean (*start_postcopy)(gpointer self, const char *vm, GError **error);
    /* In its post-copy phase: QEMU gives the link up, so that it can be taken up again. */
    gboolean (*pause_postcopy)(gpointer self, const char *vm, GError **error);
    /* From now on what is told of that VM's stop and start is kept; what was told before is
     * forgotten. */
    void (*watch_switchover)(gpointer self, const char *uuid);
    /* What was told since, all 0 where nothing was. Waits until it runs here, for wait_ms: an event
     * may come a little later than what it is about. */
    void (*get_switchover)(gpointer self, const char *uuid, guint wait_ms, MigSwitchSeen *seen);
    /* Begins to count its dirty pages, for s seconds; and what came of it. One count at a time:
     * QEMU refuses to begin another one. */
    gboolean (*start_meter)(gpointer self, const char *vm, const char *uuid, guint s,
                            GError **error);
    gboolean (*read_meter)(gpointer self, const char *vm, const char *uuid, MigMeter *meter,
                           GError **error);
    MigHost *(*get_host)(gpointer self, GError **error);
    MigHostCpu *(*get_cpu)(gpointer self, GError **error);
    /* XML of a running domain as a target would be asked to run it, without secrets.
     * MIG_ERROR_VM_STOPPED. g_free(). */
    char *(*get_definition)(gpointer self, const char *vm, const char *uuid, GError **error);
    /* How far this node has what a VM with that uuid needs. An error only where nothing can be
     * asked. */
    MigFit *(*fit)(gpointer self, const MigNeeds *needs, const char *vm, const char *uuid,
                   GError **error);
    /* The CPU that all hosts with these (MigHostCpu.xml each) can run; MIG_ERROR_NO_COMMON_CPU.
     * g_free(). */
    char *(*baseline)(gpointer self, const char *const *cpus, GError **error);
    /* GPtrArray of MigDomain: all active domains. */
    GPtrArray *(*list)(gpointer self, GError **error);
} MigHv;
