/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* timeouts.h - every interval of the daemon, derived and argued in one place. */
#pragma once

#include <glib.h>

/*
 * Signs of life. A node writes its slot every HEARTBEAT_MS. It is *suspect* when its counter has
 * stood still for SUSPECT_MS as seen by the reader's own monotonic clock; clocks of two nodes are
 * never compared. Suspicion costs nothing but a colour: it never starts a VM. Only sanlock's
 * verdict does:
 *
 *   t=0        last renewal of the delta lease
 *   8 x io     sanlock counts the renewal as failed and kills what holds leases there
 *   + 60 s     its watchdog has fired (wdmd's timeout, fixed in sanlock 3.8.5)
 *              => sanlock on the other nodes calls the host dead: 68, 76, 100, 140 s at io 1, 2, 5,
 * 10
 */
#define MIG_HEARTBEAT_MS 1000

/* A VM that was ended here is to run again: a heartbeat first, and a bit, so that the node slots
 * say that it has ended; and said again until it runs, for as long as a LUN may come and go and
 * starts be tried. Whoever restarts believes it until it is no longer said. */
#define MIG_AGAIN_MS       (2 * MIG_HEARTBEAT_MS)
#define MIG_AGAIN_VALID_MS (5 * MIG_AGAIN_MS)
#define MIG_SUSPECT_MS     3000
/* A heartbeat that takes longer than this has met a LUN that does not answer: nobody else waits for
 * it, too. Before the others' heartbeats, which cannot be read meanwhile, look late (SUSPECT). */
#define MIG_BEAT_LATE_MS 1500
/* One that takes longer than this is no slow write any more: what runs on that volume is as good as
 * lost, and a fence for another volume's sake costs it nothing. */
#define MIG_BEAT_GONE_MS    5000
#define MIG_WATCHDOG_FIRE_S 60
/* 8 x io_timeout + watchdog, in seconds: from a host's last renewal to "dead". */
guint mig_timeouts_host_dead_s(guint io_timeout_s);

/* 2 x io_timeout: how often a host's lease is renewed, and the others' are looked at. */
gint64 mig_timeouts_renewal_ms(guint io_timeout_s);

/* 8 x io_timeout: renewals count as failed, and what holds leases there is killed. */
guint mig_timeouts_renewal_fails_s(guint io_timeout_s);

/* The settings that times are made of. */
typedef struct {
    gint64 suspect_ms, isolated_ms;
    gint64 fence_delay_s, fence_timeout_s;
} MigTimeSettings;

/* The same times for people: name (stable), value, and what it is made of. */
typedef struct {
    char *name;
    gint64 ms;
    char *because;
} MigTimeLine;
void mig_time_line_free(MigTimeLine *line);

/* GPtrArray of MigTimeLine: what this node's settings say, and what a volume of that io_timeout
 * adds, worst cases of a fail-over included. Those are from the plug to the moment from where VMs
 * may start; where an agent takes part, it is the agent's own time that is not counted. */
GPtrArray *mig_timeouts_of_node(const MigTimeSettings *settings);
GPtrArray *mig_timeouts_of_volume(const MigTimeSettings *settings, guint io_timeout_s);

/* How settings contradict one another, for people; NULL: they do not. */
char *mig_timeouts_complaint(const MigTimeSettings *settings);
/* The same for a volume. queue_s: how long this host keeps I/O waiting when all paths to the LUN
 * are gone (MIG_QUEUES_*). */
#define MIG_QUEUES_NOT      0
#define MIG_QUEUES_FOR_EVER (-1)
#define MIG_QUEUES_UNKNOWN  (-2)
char *
mig_timeouts_complaint_volume(const MigTimeSettings *settings, guint io_timeout_s, gint64 queue_s);

/* How dead is found out. Evidence is asked for once a second and judged four times a second. A
 * daemon is asked every other second while its heartbeat comes, and all the time while it does not.
 * With the default suspect_after (3 s) a pulled plug is suspected 3 to 4 s after it: the last
 * heartbeat is up to a second old, and is seen up to a second later.
 *
 * Whoever has not looked for SIGN_GAP was stopped or starved itself, and has missed what it did not
 * look at. FENCE_TURN is how much later each further living node fences, should the first not do
 * it: longer than an agent that works usually takes. */
#define MIG_SIGN_EVERY_MS    1000
#define MIG_SIGN_PING_MS     400
#define MIG_SIGN_PEER_MS     2000
#define MIG_SIGN_ANSWER_MS   1000
#define MIG_SIGN_BEATS_MS    10000 /* what a daemon said of its heartbeats counts for so long */
#define MIG_SIGN_GAP_MS      2500
#define MIG_FAILOVER_LOOK_MS 250
#define MIG_FENCE_TURN_MS    15000
#define MIG_FENCE_AGAIN_MS   30000

/* A node that dies with the lease of a VM that was just moved there leaves a half at its source.
 * libvirt there lets that half go on when its connection breaks, if sanlock gives it the lease, and
 * its memory is old by then. So a fenced host's leases are not freed before libvirt has tried in
 * vain: a heartbeat, the time until the channel counts as dead (MIG_TCP_DEAD_AFTER_S), and some for
 * libvirt, after the last sign of life. */
#define MIG_FENCE_HALF_MS 9000

/* A node looks at its own VMs' leases this often. Its volume's VMs are looked at by one node every
 * RECOVERY_LOOK, and at once when a node's death is proven. One that has ended by itself is left
 * alone for CRASH, so that nobody's start by hand is disturbed; its memory is counted for SETTLE
 * after its start, until the node's own figure shows it; failures are forgotten FORGET after its
 * last start. */
#define MIG_SELF_LOOK_MS     1000
#define MIG_RECOVERY_LOOK_MS 5000

/* A look that takes longer hangs in a volume or in this host's disk, which the heartbeat of another
 * volume does not show. Until it goes on this node publishes that it fences nobody and restarts
 * nothing, so the next one does. */
#define MIG_LOOK_HANGS_MS      15000
#define MIG_RECOVERY_CRASH_MS  4000
#define MIG_RECOVERY_SETTLE_MS 10000
#define MIG_RECOVERY_FORGET_MS (10 * 60 * 1000)

/* A server of NFS 4 keeps the locks of a client that died for its lease time, 90 s with Linux and
 * seldom more than two minutes, and one that was just started itself waits as long again before it
 * gives new ones. For PASSING after the first start that has failed for that, or for a start by
 * hand was under way, such starts are not held against the VM; they come no further than AGAIN
 * apart, for nothing tells when it is over. */
#define MIG_RECOVERY_PASSING_MS       (5 * 60 * 1000)
#define MIG_RECOVERY_PASSING_AGAIN_MS 15000

/* How long a node that has joined a lockspace waits for sanlock's first look at the other hosts: it
 * looks at every renewal, each 2 x io_timeout; twice that and some for a slow LUN. */
guint mig_timeouts_join_ms(guint io_timeout_s);

/* The coordinator's lease is looked at every LOOK: with the renewal of sanlock's own lease that is
 * read then, its holder knows until when nobody else can have it (mig_timeouts_lease_ms()). A free
 * one is taken by the node of the first rank after FREE, the moment between a release and the
 * taking over of whom it was given to, and by each further rank a STEP later, by when the first one
 * has looked. Whom it was given to has GRACE.
 *
 * A hand-over lets a change that is under way end for YIELD, which is longer than most take, then
 * breaks it off; so it takes less than a second. A daemon that stops gives its hand-overs STOP.
 *
 * A heartbeat that does not come for HUNG, while the host's sanlock lives and has renewed its lease
 * HUNG_RENEWALS times meanwhile, so that the LUN can be reached from there, is that of a process
 * that hangs; sanlock needs up to two renewals at both ends to end it, and is asked once more after
 * HUNG_AGAIN. Nodes that come or go are balanced once nobody has for SETTLE, one volume of a node
 * every BALANCE: until then all nodes have seen what became of the last one. */
#define MIG_COORDINATOR_LOOK_MS       1000
#define MIG_COORDINATOR_FREE_MS       300
#define MIG_COORDINATOR_STEP_MS       1000
#define MIG_COORDINATOR_GRACE_MS      1500
#define MIG_COORDINATOR_YIELD_MS      200
#define MIG_COORDINATOR_STOP_MS       4000
#define MIG_COORDINATOR_HUNG_MS       10000
#define MIG_COORDINATOR_HUNG_RENEWALS 2
#define MIG_COORDINATOR_HUNG_AGAIN_MS 20000
#define MIG_COORDINATOR_SETTLE_MS     5000
#define MIG_COORDINATOR_BALANCE_MS    3000
/* For how long after a renewal of the host's lease no other host can call it dead, with a second
 * for the whole seconds that sanlock counts in. Its own sanlock ends who holds leases by then. */
guint mig_timeouts_lease_ms(guint io_timeout_s);

/* How long a catalogue change waits until it can be asked for: until the coordinator's host is
 * called dead and another node has its role, whatever has become of it. */
guint mig_timeouts_change_ms(guint io_timeout_s);
/* A change waits for its turn at the coordinator for TURN before its asker is told that it lasts,
 * and asks again: longer than tens of others take, shorter than a call of a peer may. What became
 * of a request is kept for KEEP, longer than anybody asks for it. */
#define MIG_CHANGE_TURN_MS 5000
#define MIG_CHANGE_KEEP_MS (10 * 60 * 1000)
/* For one change that its coordinator says it is at: a disk that hangs for good must not keep an
 * asker for good. */
#define MIG_CHANGE_LONGEST_MS (60 * 60 * 1000)
/* The same asked of the node that has the VM, which asks the coordinator in turn: its last question
 * comes as late as that, and then it has to tell its kernel and QEMU. Nobody waits so long for a
 * node that has died: its connection tells at once. */
#define MIG_CHANGE_THERE_MS (MIG_CHANGE_LONGEST_MS + 60 * 1000)
/* The same for one that takes the role for itself: ten changes of others, each some tens of ms on a
 * healthy LUN, fit in many times over. */
#define MIG_COORDINATOR_WAIT_MS 15000
/* Who has become coordinator reads all of the catalogue once for what its predecessor has left half
 * written, when what had waited for a coordinator is through. */
#define MIG_COORDINATOR_SETTLES_MS 5000

/* A daemon that stops gives its copies so long to be gone: they are told within a second, and one
 * whose disk answers is gone at once. */
#define MIG_COPIES_STOP_MS 3000

/* Peers answer in milliseconds; one that does not within this is treated as unreachable. Longer
 * than activating all images of a VM on a busy LUN. */
#define MIG_PEER_CONNECT_MS 2000
#define MIG_PEER_CALL_MS    10000
#define MIG_PEER_LOOK_MS    3000 /* for one look at a VM, that is made again */

/* How fast the migration network is to a node is measured for PROBE, and for some times as long
 * where it would be refused for it: a busy machine looks like a slow link. It is told for
 * PROBE_KEEP; a ping on it takes less than a ms, PROBE_PING is for a machine that is busy. */
#define MIG_PROBE_MS      150
#define MIG_PROBE_KEEP_MS (10 * 60 * 1000)
#define MIG_PROBE_SLOW_MS 2000 /* instead, where it is slow */
#define MIG_PROBE_PING_MS 300
#define MIG_PROBE_TURN_MS 5000 /* nobody else measures meanwhile, should one never come to it */

/* Who is connected to the migration network is looked at every 5 s; a move takes what was seen
 * then, also where that look comes late. */
#define MIG_CLIENTS_KEEP_MS 15000

/* What libvirt's hook waits for. A start by hand is judged from memory and two blocks of the LUN:
 * hooks/hook.c gives that 5 s. A move by hand is asked for at the node where it runs, within
 * PEER_CALL; that node has FOLLOW, so that it is the first to give up and cleans up. The hook waits
 * 15 s. */
#define MIG_FOLLOW_MS 8000

/* All checks of all VMs of one node for all others: some tens of ms each. */
#define MIG_CHECK_MS 120000

/* What the other end gets for its part of a TLS handshake: a few ms of work, on a machine that may
 * be as busy as can be. A dead one is noticed earlier, by TCP. */
#define MIG_PEER_HANDSHAKE_MS 8000

/* For how long a node that refuses another one's certificate is asked again: it reads the slots
 * every HEARTBEAT_MS, and a reading of a busy LUN may take as long once more. */
#define MIG_PEER_STRANGE_MS 2500

/* How long a node's new certificate stands in its slot before it is used, and the old one after
 * that: every other node has read it by then, the busiest one perhaps not; that one reads it when
 * it meets it (PEER_STRANGE). */
#define MIG_KEY_SEEN_MS 3000

/* What a change of key gets for its first two steps, its slots' writing included, before whoever
 * has asked for it is told that it goes on by itself. */
#define MIG_KEY_CHANGE_MS 20000

/* What a client gets to send one message whole; a peer on a bad link needs a fraction. */
#define MIG_FRAME_MS 10000

/* A target's reservation without a domain is asked about after this long, and dropped if its source
 * does not know the job any more or cannot be reached. Longer than a PREPARE takes. */
#define MIG_RESERVATION_MS 30000

/* A graceful stop: what a guest gets to shut down. */
#define MIG_STOP_MS 90000

/* A daemon that starts answers people and hooks when it knows what is on its node, or after this
 * long: a volume or libvirt may be silent for good, and then it has to say so. */
#define MIG_KNOWN_MS 500

/* A start on another node: taking a lease there can mean waiting for a host to be called dead. */
#define MIG_START_MS 180000
/* Any start that a fail-over has begun is called failed then: on another node MIG_START_MS has done
 * so by itself, on this one nothing else does. */
#define MIG_START_LATE_MS (MIG_START_MS + 10000)

/* After an unclear end of a move, how long the confirm step keeps asking before it closes the job
 * as failed with what it knows. The domain stays as it is; nothing is started. */
#define MIG_CONFIRM_MS 60000
/* The same again, where it cannot close it: libvirt or the LUN is silent. */
#define MIG_CONFIRM_MORE_MS 5000

/* A target that gives signs of life and does not answer whether it has run the VM is asked again
 * for so long. Meanwhile what is left on the source may run, with a memory that is older than its
 * disk. */
#define MIG_OUTRUN_ASK_MS 300

/* A target that is asked how a move has ended waits so long for QEMU's word that the guest runs: it
 * is on its way then. Without it the move's blackout stays unknown, and nothing else is lost. */
#define MIG_EVENT_LATE_MS 200

/* Post-copy. A link that has carried nothing for SILENT is lost: TCP alone would wait for a quarter
 * of an hour, and each page that the guest misses stands still for as long. Given up it can be
 * taken up again. libvirt also loses faith where only its own connection breaks, and QEMU goes on:
 * so it must have been STILL, too, before a job says that it is lost. Every LOOK it is asked
 * whether the other half is gone for good. A resume is tried for RESUME: the target's kernel hears
 * of a link that was given up with the next packet that comes through, which TCP sends at ever
 * longer intervals. */
#define MIG_POSTCOPY_SILENT_MS 10000
#define MIG_POSTCOPY_STILL_MS  3000
#define MIG_POSTCOPY_LOOK_MS   5000
#define MIG_POSTCOPY_RESUME_MS 60000
/* A target that did not answer when it was to begin is asked again after this; till then the move
 * converges by what its policy has without post-copy. */
#define MIG_POSTCOPY_AGAIN_MS 10000

/* The dirty pages of a guest are counted for METER_S, the time of a late round, then for
 * METER_LATER_S, after which most guests that write to the same pages again and again have been
 * through them; anew after METER_EVERY. Whoever asks for a forecast waits for both, and for
 * METER_MORE more of the longer ones where the forecast hangs on them; he gets one of what is not
 * older than METER_FRESH. A move gets what there is at once, up to METER_OLD: most guests do what
 * they did. QEMU is asked each METER_LOOK whether it is through, up to METER_LATE after its time.
 * The table of VMs is looked through each METER_ROUND: one that has come is measured soon. */
#define MIG_METER_S        1
#define MIG_METER_LATER_S  4
#define MIG_METER_MORE     2
#define MIG_METER_EVERY_MS 60000
#define MIG_METER_FRESH_MS 5000
#define MIG_METER_OLD_MS   600000
#define MIG_METER_LOOK_MS  50
#define MIG_METER_LATE_MS  3000
#define MIG_METER_ROUND_MS 5000

/* libvirt looks for the end of the source's QEMU every 200 ms. */
#define MIG_ARRIVED_WAIT_MS 2000

/* A move that waits asks again at the latest after this long: a wake-up call can be lost. Its place
 * in the queues is kept for several times that; a dead source's places hold nobody up for longer.
 */
#define MIG_ASK_AGAIN_MS 2000
#define MIG_PLACE_MS     10000

/* A node that a waiting move needs may be away for a moment, for a restart of its daemon. */
#define MIG_AWAY_MS 30000

/* A waiting move that is this old is not overtaken any more by moves of other pairs (core/queue.h):
 * some moves of large VMs, so that a stream of important ones delays the others, but not for good.
 */
#define MIG_OVERTAKE_MS (10 * 60 * 1000)

/* An age that a peer claims counts up to this: a clock that was set does not put a move first for
 * ever. */
#define MIG_WAITED_MAX_MS (7 * 86400 * G_GINT64_CONSTANT(1000))
