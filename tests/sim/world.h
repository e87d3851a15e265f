/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* world.h - two nodes, a LUN and two libvirts, simulated: what a move is tried out in. */
#pragma once

#include "core/job-source.h"

/*
 * Everything outside of core, as far as a move sees it, and nothing else: a plain struct without
 * pointers, so that it can live in shared memory and outlive a killed migrated (a forked child).
 * Node 0 is the source A, node 1 the target B.
 *
 * Time is simulated: each port call takes one tick, and with every tick libvirt goes on with what
 * it has been told, whoever is still there to listen. The rules are libvirt's:
 *
 *   copy -> stop (guest stands, lease released) -> device -> finish: target takes the lease -> runs
 *        -> confirm: source half removed
 *   failure before finish: target half removed, source takes its lease again and runs
 *   post-copy: stop -> finish: target takes the lease -> runs, and the rest of its memory follows
 * -> source half removed. If the link is lost halves wait; if one is lost the other is of no use
 *   connection lost in finish: source tries to take its lease again; if it cannot, it stays paused
 *
 * Rules of safety are checked after every tick: world_tick().
 */

#define TICK_MS        10
#define VIRSH_LIMIT_MS 300 /* of downtime, without options */
#define SOURCE         0
#define TARGET         1
#define NOBODY         (-1)

/* What goes wrong inside of libvirt. */
typedef enum {
    LV_FINE,
    LV_FAIL_IN_PREPARE,     /* target's libvirt refuses */
    LV_FAIL_IN_COPY,        /* socket error */
    LV_FAIL_IN_DEVICE,      /* the same, with the guest stopped already */
    LV_FINISH_LOST,         /* the finish call never arrives */
    LV_TARGET_LEASE,        /* target cannot take the lease */
    LV_TARGET_CONT,         /* target took the lease, cannot run, gave it back */
    LV_LOST_WITH_LEASE,     /* connection lost after target took the lease; it runs soon */
    LV_TARGET_PAUSED,       /* the same, but the target half stands still for good */
    LV_ANSWER_LOST,         /* target runs, source never hears of it */
    LV_TARGET_RAN_AND_GONE, /* the same, and then the guest is gone there: its lease is free again
                             */
    LV_TARGET_GONE_FIRST,   /* the guest is gone there when libvirt on the source hears of it */
    LV_TARGET_DIES,         /* the target's node, when the guest runs there */
    LV_TARGET_ISOLATED,     /* cut off then; it ends the guest itself some time later */
    LV_DISK_FAILS,          /* A's, in the copy; libvirt lets it go on, and it fails again */
    LV_HALF_LEFT,           /* all well, but the source half is not removed */
    LV_N,
} LvFault;

typedef enum {
    PHASE_NONE,
    PHASE_BEGIN,
    PHASE_COPY,
    PHASE_STOP,
    PHASE_DEVICE,
    PHASE_FINISH,
    PHASE_TARGET_LEASE,
    PHASE_TARGET_RUN,
    PHASE_CONFIRM,
    PHASE_POSTCOPY_STOP,
    PHASE_POSTCOPY,
    PHASE_POSTCOPY_PAUSED
} Phase;

/* What goes wrong in the post-copy phase. */
typedef enum {
    PC_FINE,
    PC_LINK_LOST,   /* once */
    PC_TARGET_GONE, /* its QEMU dies */
    PC_SOURCE_GONE,
    PC_LINK_AND_TARGET, /* the link is lost, and then the target's QEMU */
    PC_LINK_AT_END,     /* the network, when all has been sent */
    PC_TARGET_OFF,      /* its guest powers itself off */
    PC_SOURCE_DIES,     /* its node, and a fail-over starts the VM anew on B before it is back */
    PC_N,
} PcFault;

typedef enum { FAIL_BEFORE, FAIL_AFTER, FAIL_LOST, FAIL_N } FailKind;

/* What is to happen in one run; call numbers count port calls from 1, 0 is never. */
typedef struct {
    guint64 seed;
    LvFault libvirt;
    gboolean source_cannot_resume; /* by itself; libvirt leaves it paused */
    guint needs_downtime_ms;       /* below this limit the guest never converges */
    guint timeout_ms;
    MigPolicyKind policy;
    gboolean can_postcopy; /* the target can receive that way, and the policy does not forbid it */
    PcFault postcopy;
    gboolean is_stuck;        /* B's half hears nobody once the link is lost */
    gboolean is_source_first; /* lower host id */
    guint fail_at, kill_at, cancel_at, die_at, cut_at, off_at;
    FailKind fail_kind;
    gboolean kill_after; /* the call's effect */
    guint cut_ms;        /* how long the nodes do not reach each other */
    guint dead_ms;       /* how long a killed migrated stays away */
    guint fence_ms;      /* after its death B's host lease is freed; 0: nobody fences */
    guint reboot_ms;     /* after its death B is back, in another start; 0: the usual */
    guint silent_ms;     /* after the move A's libvirt does not answer for so long */
    guint unread_ms;     /* the same of the LUN */
    guint busy_ms[2];    /* for so long another move has the pair at A's, at B's end */
    gboolean no_wait;
    gboolean by_virsh; /* somebody else tells libvirt to move, as soon as the job is in perform */
    guint fail_percent, event_permille; /* random mixing */
} Plan;

typedef struct {
    MigDomainState state;
    guint64 epoch; /* of the guest's memory: must be the disk's whenever it begins to run */
} Domain;

typedef struct {
    Plan plan;
    guint64 random;
    gint64 now_ms;
    guint calls, life;
    gboolean job_alive; /* a migrated is there on A */
    gboolean job_ended; /* as its peers are told */
    gboolean cancelled;
    guint cancelled_call, done_call;
    gboolean triggered; /* something of the plan has happened */
    gboolean reserve_failed;

    Domain domain[2];
    guint64 disk_epoch;
    int lease_owner;
    guint64 lease_version;
    int last_taker; /* of the lease */
    gboolean target_had_lease;
    gboolean is_stale; /* libvirt has let an old half run on A; */
    gint64 stale_ms;   /* a migrated could see it since */
    gint64 move_ended_ms;
    gint64 disk_fails_ms;  /* A's, again; 0: it does not */
    gboolean has_promised; /* the journal says that it is done, and was told so */
    gboolean images[2], pair[2], reservation;
    gint64 place_ms[2]; /* the job has a place in the queue there, asked for last at; 0: none */
    gint64 reserved_ms;
    gboolean target_alive;
    gint64 target_died_ms, cut_until_ms, cut_since_ms;
    gboolean target_ran, went_off, was_shut_down, was_booted;
    gint64 stopped_ms;      /* the guest, on A, for the switch-over */
    gboolean arrived_early; /* who asked was answered while libvirt was at it still */

    /* libvirt's job on A, and what B's libvirt does on its own later */
    Phase phase;
    guint phase_ticks, iteration, limit_ms;
    gboolean abort, succeeded;
    gboolean postcopy_asked, postcopy_faulted, postcopy_broken; /* broken: libvirt believes so */
    gint64 silent_ms; /* since when nothing goes over; 0 */
    guint64 sent;
    guint restart_unread; /* so often it cannot be read whether it is to be started again */
    gboolean restart_asked, virsh_began;
    guint64 postcopy_bytes_s;
    gboolean has_call;    /* of A's migrated to its libvirt, which moves it */
    gboolean is_all_sent; /* QEMU waits for B's last word */
    enum { LATER_NOTHING, LATER_CLEAN, LATER_RUN, LATER_GONE } later;
    gint64 later_ms;

    char journal[16384];
    char trace[80][48]; /* the last calls */
    guint traced;
} World;

#define EXIT_KILLED 77

World *world_new_shared(void);
void world_reset(World *world, const Plan *plan);
/* One step of everything but migrated. */
void world_tick(World *world);
/* Begins a life of A's migrated: job runs or is resumed with fake ports. EXIT_KILLED ends the
 * process. */
MigJob *world_run_job(World *world);
/* After the end: what is told must be true, and nothing may be left. */
void world_check_end(World *world, const MigJob *job);
void world_violation(World *world, const char *format, ...) G_GNUC_PRINTF(2, 3) G_GNUC_NORETURN;
guint world_random(World *world, guint below);
