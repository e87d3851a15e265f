/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* api-types.h - the messages of the API as C structs; the same as in io.migrated.varlink. */
#pragma once

#include "rpc/message.h"

/*
 * Each message is one list of fields; the struct (here) and its decoding table (api-types.c) are
 * made from that list, so they cannot disagree. A unit test compares the tables with the .varlink
 * text. Names in JSON are the member names. Sizes are bytes, times are milliseconds (_us:
 * microseconds), wall-clock times are milliseconds since 1970.
 *
 *   F(kind, member, flags, element type)     kind: STRING INT BOOL DOUBLE STRV OBJECT ARRAY
 */

#define MIG_CTYPE_STRING                      char *
#define MIG_CTYPE_INT                         gint64
#define MIG_CTYPE_BOOL                        gboolean
#define MIG_CTYPE_DOUBLE                      double
#define MIG_CTYPE_STRV                        char **
#define MIG_CTYPE_OBJECT                      gpointer
#define MIG_CTYPE_ARRAY                       GPtrArray *
#define MIG_MEMBER(kind, member, flags, type) MIG_CTYPE_##kind member;

/* clang-format off */
#define R MIG_FIELD_REQUIRED
#define Z MIG_FIELD_OMIT_ZERO

/* --- things --- */
#define MIG_FIELDS_ApiNode(F) \
    F(STRING, name, R, NULL) F(INT, host_id, R, NULL) \
    F(STRING, state, R, NULL)          /* up, suspect, down, left */ \
    F(STRING, management, 0, NULL) F(INT, port, 0, NULL) F(STRING, migration, 0, NULL) \
    F(STRING, cpu_vendor, 0, NULL) F(INT, cpus, 0, NULL) \
    F(INT, memory, 0, NULL) F(INT, memory_free, 0, NULL) \
    F(STRV, vms, 0, NULL) F(STRV, volumes, 0, NULL) \
    F(BOOL, draining, 0, NULL) F(BOOL, watchdog, 0, NULL) \
    F(INT, heartbeat, 0, NULL) F(INT, heartbeat_age_ms, 0, NULL) \
    F(STRING, sanlock, 0, NULL)        /* free, live, fail, dead, unknown */ \
    F(STRING, version, 0, NULL) F(BOOL, local, 0, NULL) \
    F(STRING, rule, 0, NULL)           /* why it is in that state */ \
    F(INT, peer_age_ms, 0, NULL)       /* since its daemon answered */ \
    F(INT, ping_age_ms, 0, NULL)       /* since it answered a ping on the management address */ \
    F(INT, ping_migration_age_ms, 0, NULL) /* the same for migration; -1: has none */ \
    F(BOOL, fenceable, 0, NULL)        /* from the answering node */ \
    F(BOOL, flapping, 0, NULL)         /* died too often lately: VMs come last */ \
    F(BOOL, encrypts, 0, NULL)         /* memory of VMs on the move */ \
    F(BOOL, passive, 0, NULL)          /* fences nobody, restarts no VM */ \
    F(STRV, certificates, 0, NULL)     /* SHA-256 of the roots in its slot */

#define MIG_FIELDS_ApiVolume(F) \
    F(STRING, name, R, NULL) F(STRING, uuid, R, NULL) F(STRING, device, 0, NULL) \
    F(STRING, state, R, NULL)          /* attached, joining, lost */ \
    F(STRING, coordinator, 0, NULL)    /* node name or null: the lease is free */ \
    F(INT, sector_size, 0, NULL) F(INT, io_timeout, 0, NULL) \
    F(INT, size, 0, NULL) F(INT, used, 0, NULL) F(INT, free, 0, NULL) \
    F(INT, largest_free, 0, NULL) F(INT, extent, 0, NULL) \
    F(INT, free_runs, 0, NULL)         /* pieces that the free space is in */ \
    F(INT, spare, 0, NULL)             /* that the LUN has grown by and the volume has not */ \
    F(STRING, map, 0, NULL)            /* of its space: . free, - and + partly used, # used */ \
    F(INT, images, 0, NULL) F(INT, vms, 0, NULL) \
    F(INT, max_nodes, 0, NULL) F(INT, max_vms, 0, NULL) F(INT, max_images, 0, NULL) \
    F(STRV, nodes, 0, NULL)            /* that have it attached */ \
    F(BOOL, one_host, 0, NULL)         /* a directory on a file system of the answering node */

#define MIG_FIELDS_ApiImage(F) \
    F(STRING, volume, R, NULL) F(STRING, name, R, NULL) F(INT, size, R, NULL) \
    F(STRING, owner, 0, NULL) F(INT, extents, 0, NULL) F(BOOL, shared, 0, NULL) \
    F(STRING, path, 0, NULL)           /* /dev/csv/VOLUME/IMAGE */ \
    F(BOOL, active, 0, NULL)           /* on the answering node */

#define MIG_FIELDS_ApiVm(F) \
    F(STRING, name, R, NULL) F(STRING, uuid, R, NULL) F(STRING, volume, R, NULL) \
    F(STRING, state, R, NULL)          /* running, paused, stopped, moving, unknown */ \
    F(STRING, wanted, R, NULL)         /* running, stopped */ \
    F(STRING, node, 0, NULL)           /* where it runs */ \
    F(INT, memory, 0, NULL) F(INT, vcpus, 0, NULL) F(INT, priority, 0, NULL) \
    F(STRV, images, 0, NULL)           /* volume/image */ \
    F(STRING, lease_owner, 0, NULL) F(INT, lease_version, 0, NULL) \
    F(STRING, job, 0, NULL) \
    F(STRING, definition, 0, NULL)     /* GetVm only */ \
    F(STRING, restart, 0, NULL)        /* always, on-node-death, never */ \
    F(STRING, on_isolation, 0, NULL)   /* keep, restart */ \
    F(STRING, prefer, 0, NULL)         /* node name */ \
    F(STRING, move_policy, 0, NULL)    /* null: its node's */ \
    F(STRV, affinity, 0, NULL)         /* names of VMs, all three */ \
    F(STRV, anti_affinity, 0, NULL) F(STRV, start_after, 0, NULL)

#define MIG_FIELDS_ApiCheck(F) \
    F(STRING, name, R, NULL) \
    F(STRING, verdict, R, NULL)        /* pass, warn, fail */ \
    F(STRING, text, R, NULL) F(STRING, advice, 0, NULL)

#define MIG_FIELDS_ApiPhase(F) \
    F(STRING, state, R, NULL) F(INT, at, R, NULL) F(INT, took_ms, 0, NULL) F(STRING, why, 0, NULL)

/* A moment of a switch-over: sometime from from_us to to_us after the guest has stopped. */
#define MIG_FIELDS_ApiMoment(F) \
    F(STRING, what, R, NULL)           /* names of core/switchover.h */ \
    F(STRING, node, R, NULL) F(INT, from_us, R, NULL) F(INT, to_us, R, NULL)

/* The likely value, and between which it will be, but for one in ten or so. */
#define MIG_FIELDS_ApiRange(F) F(INT, likely, R, NULL) F(INT, least, R, NULL) F(INT, most, R, NULL)

/* What a move will take, and what that is made of. */
#define MIG_FIELDS_ApiForecast(F) \
    F(OBJECT, duration_ms, R, &mig_type_ApiRange) /* without waiting */ \
    F(OBJECT, downtime_ms, R, &mig_type_ApiRange) F(OBJECT, bytes, R, &mig_type_ApiRange) \
    F(BOOL, gives_up, 0, NULL)         /* it will not end; duration_ms: until it is given up */ \
    F(INT, learnt_from, 0, NULL)       /* so many moves */ \
    F(INT, used, 0, NULL)              /* memory that is resident; 0: not known */ \
    F(INT, dirty_rate, 0, NULL)        /* bytes/s, in one second; -1: not measured */ \
    F(INT, link_rate, 0, NULL)         /* bytes/s, of link or limit; 0: not known */ \
    F(BOOL, moved_here, 0, NULL)       /* its QEMU came by a move, and has touched less */ \
    F(INT, dirtied, 0, NULL)           /* different bytes that it wrote to in a longer time */ \
    F(INT, dirtied_ms, 0, NULL)        /* that time; 0: not measured */ \
    F(INT, busy, 0, NULL)              /* percent of its processors' time; 0: not measured */

#define MIG_FIELDS_ApiJob(F) \
    F(STRING, id, R, NULL) F(STRING, kind, R, NULL) F(STRING, vm, R, NULL) \
    F(STRING, uuid, 0, NULL) F(STRING, volume, 0, NULL) F(INT, slot, 0, NULL) \
    F(INT, memory, 0, NULL) F(STRV, images, 0, NULL) \
    F(STRING, source, 0, NULL) F(STRING, target, 0, NULL) \
    F(STRING, state, R, NULL)          /* names of core/job-states.h */ \
    F(BOOL, ended, 0, NULL) \
    F(STRING, outcome, 0, NULL)        /* done, failed, cancelled; done while it has not ended: cleans up */ \
    F(STRING, error, 0, NULL)          /* wire name */ \
    F(STRING, message, 0, NULL) \
    F(INT, started, 0, NULL) F(INT, elapsed_ms, 0, NULL) \
    F(INT, percent, 0, NULL) \
    F(INT, total, 0, NULL) F(INT, transferred, 0, NULL) F(INT, remaining, 0, NULL) \
    F(INT, rate, 0, NULL)              /* bytes/s */ \
    F(INT, dirty_rate, 0, NULL)        /* bytes/s */ \
    F(INT, iteration, 0, NULL) \
    F(INT, downtime_ms, 0, NULL)       /* as QEMU reports it */ \
    F(INT, blackout_ms, 0, NULL)       /* from the guest's stop here to its start there; -1: not known */ \
    F(INT, blackout_within_ms, 0, NULL) /* it is not wrong by more than that */ \
    F(ARRAY, switchover, 0, &mig_type_ApiMoment) /* not in ListJobs */ \
    F(INT, first_round, 0, NULL)       /* bytes that the first round sent */ \
    F(OBJECT, forecast, 0, &mig_type_ApiForecast) /* as it began */ \
    F(INT, downtime_limit_ms, 0, NULL) \
    F(INT, bandwidth, 0, NULL) F(INT, max_downtime_ms, 0, NULL) \
    F(INT, timeout_ms, 0, NULL)        /* as it was asked for */ \
    F(INT, lease_version, 0, NULL)     /* of the VM's lease before the move */ \
    F(BOOL, outrun, 0, NULL)           /* its half here was ended: another node had run it since */ \
    F(INT, priority, 0, NULL)          /* higher goes first */ \
    F(INT, position, 0, NULL)          /* while it waits: in its line, from 1 */ \
    F(STRING, waits_for, 0, NULL)      /* while it waits: for people */ \
    F(BOOL, encrypted, 0, NULL)        /* its memory, on the wire */ \
    F(STRING, policy, 0, NULL)         /* fast, gentle, must-finish, never-postcopy */ \
    F(INT, throttle, 0, NULL)          /* percent of its CPU time, taken from the guest */ \
    F(BOOL, can_postcopy, 0, NULL)     /* it may be switched over to that */ \
    F(BOOL, postcopy_wanted, 0, NULL)  /* somebody has asked for it */ \
    F(BOOL, cancel_wanted, 0, NULL) \
    F(STRING, ram_address, 0, NULL)    /* where the target takes its memory */ \
    F(INT, channels, 0, NULL)          /* connections that it goes over; 0: one */ \
    F(ARRAY, checks, 0, &mig_type_ApiCheck) F(ARRAY, phases, 0, &mig_type_ApiPhase)

/* One thing that was seen, decided or done. */
#define MIG_FIELDS_ApiEvent(F) \
    F(INT, at, R, NULL) F(STRING, node, R, NULL) /* that tells it */ \
    F(STRING, subject, R, NULL) F(STRING, about, 0, NULL) \
    F(STRING, what, R, NULL) F(STRING, text, R, NULL)

/* One time of the model by which a node's death is found out. */
#define MIG_FIELDS_ApiTime(F) \
    F(STRING, name, R, NULL) F(STRING, volume, 0, NULL) /* null: of the answering node */ \
    F(INT, ms, R, NULL) F(STRING, because, R, NULL)

/* One VM of a node that is drained. target: none where it has to stay, why says so. job: its move */
#define MIG_FIELDS_ApiDrainStep(F) \
    F(STRING, vm, R, NULL) F(INT, memory, R, NULL) F(STRING, target, 0, NULL) \
    F(STRING, job, 0, NULL) F(STRING, why, 0, NULL) F(OBJECT, forecast, 0, &mig_type_ApiForecast)

/* One VM of a node that is thought away. */
#define MIG_FIELDS_ApiPlan(F) \
    F(STRING, vm, R, NULL) F(INT, priority, 0, NULL) F(INT, memory, 0, NULL) \
    F(STRING, node, 0, NULL)           /* null: nowhere */ \
    F(STRING, why, R, NULL)

/* May this VM move there? */
#define MIG_FIELDS_ApiVerdict(F) \
    F(STRING, vm, R, NULL) F(STRING, source, R, NULL) F(STRING, target, R, NULL) \
    F(STRING, verdict, R, NULL)        /* the worst of its checks */ \
    F(ARRAY, checks, R, &mig_type_ApiCheck) F(OBJECT, forecast, 0, &mig_type_ApiForecast)

/* How good forecasts were: of count, in_range were where they should be; off, of what it was */
#define MIG_FIELDS_ApiMisses(F) \
    F(INT, count, R, NULL) F(INT, in_range, R, NULL) \
    F(INT, median_percent, R, NULL) F(INT, p95_percent, R, NULL) /* -1: there were none */ \
    F(INT, median_ms, R, NULL) F(INT, p95_ms, R, NULL)

/* --- requests and replies --- */
#define MIG_FIELDS_Empty(F)
#define MIG_FIELDS_NameRequest(F) F(STRING, name, R, NULL)
#define MIG_FIELDS_ErrorReply(F) F(STRING, message, R, NULL)

#define MIG_FIELDS_StatusReply(F) \
    F(STRING, node, R, NULL) F(STRING, version, R, NULL) \
    F(ARRAY, nodes, R, &mig_type_ApiNode) F(ARRAY, volumes, R, &mig_type_ApiVolume) \
    F(ARRAY, vms, R, &mig_type_ApiVm) F(ARRAY, jobs, R, &mig_type_ApiJob) \
    F(STRV, warnings, 0, NULL)

#define MIG_FIELDS_ListNodesReply(F) F(ARRAY, nodes, R, &mig_type_ApiNode)
#define MIG_FIELDS_NodeReply(F) F(OBJECT, node, R, &mig_type_ApiNode)

#define MIG_FIELDS_FormatVolumeRequest(F) \
    F(STRING, device, R, NULL) F(STRING, name, R, NULL) F(INT, io_timeout, 0, NULL) \
    F(INT, max_nodes, 0, NULL) F(INT, max_vms, 0, NULL) F(INT, max_images, 0, NULL) \
    F(INT, extent, 0, NULL) F(BOOL, force, 0, NULL)
#define MIG_FIELDS_AttachVolumeRequest(F) F(STRING, device, R, NULL)
/* what format and the configuration need; empty: a default, or looked for on this node */
#define MIG_FIELDS_CreateClusterRequest(F) \
    F(STRING, device, R, NULL) F(STRING, name, R, NULL) F(INT, io_timeout, 0, NULL) \
    F(INT, max_nodes, 0, NULL) F(INT, max_vms, 0, NULL) F(INT, max_images, 0, NULL) \
    F(INT, extent, 0, NULL) F(BOOL, force, 0, NULL) \
    F(STRING, node, 0, NULL) F(STRING, management, 0, NULL) F(STRING, migration, 0, NULL)
#define MIG_FIELDS_JoinClusterRequest(F) \
    F(STRING, device, R, NULL) \
    F(STRING, node, 0, NULL) F(STRING, management, 0, NULL) F(STRING, migration, 0, NULL)
#define MIG_FIELDS_ClusterReply(F) \
    F(STRING, node, R, NULL) F(INT, host_id, R, NULL) F(STRING, volume, R, NULL) \
    F(STRING, management, R, NULL) F(STRING, migration, R, NULL)
#define MIG_FIELDS_RotateKeyReply(F) \
    F(STRING, certificate, R, NULL)    /* SHA-256 of the new root */ \
    F(INT, connections, 0, NULL)       /* that were made with the old one and go on */
#define MIG_FIELDS_VolumeReply(F) F(OBJECT, volume, R, &mig_type_ApiVolume)
#define MIG_FIELDS_ListVolumesReply(F) F(ARRAY, volumes, R, &mig_type_ApiVolume)

/* request: a uuid of the client's own; asked again with it, nothing is done twice */
#define MIG_FIELDS_ImageRequest(F) \
    F(STRING, volume, R, NULL) F(STRING, name, R, NULL) F(STRING, request, 0, NULL)
#define MIG_FIELDS_CreateImageRequest(F) \
    F(STRING, volume, R, NULL) F(STRING, name, R, NULL) F(INT, size, R, NULL) \
    F(STRING, request, 0, NULL)
#define MIG_FIELDS_RenameImageRequest(F) \
    F(STRING, volume, R, NULL) F(STRING, name, R, NULL) F(STRING, new_name, R, NULL)
#define MIG_FIELDS_BackupVolumeRequest(F) \
    F(STRING, volume, R, NULL) F(STRING, path, R, NULL) F(BOOL, force, 0, NULL)
#define MIG_FIELDS_PlanSpaceRequest(F) F(STRING, volume, R, NULL) F(INT, size, R, NULL)
/* size 0: the file's; format null: asked of qemu-img */
#define MIG_FIELDS_ImportImageRequest(F) \
    F(STRING, volume, R, NULL) F(STRING, name, R, NULL) F(STRING, path, R, NULL) \
    F(INT, size, 0, NULL) F(STRING, format, 0, NULL)
#define MIG_FIELDS_ExportImageRequest(F) \
    F(STRING, volume, R, NULL) F(STRING, name, R, NULL) F(STRING, path, R, NULL) \
    F(STRING, format, 0, NULL) F(BOOL, force, 0, NULL)
#define MIG_FIELDS_ListImagesRequest(F) F(STRING, volume, 0, NULL)
#define MIG_FIELDS_ListImagesReply(F) F(ARRAY, images, R, &mig_type_ApiImage)
/* interim: image null; the last one has it */
#define MIG_FIELDS_ImageReply(F) \
    F(OBJECT, image, 0, &mig_type_ApiImage) F(INT, done, 0, NULL) F(INT, total, 0, NULL)

#define MIG_FIELDS_DefineVmRequest(F) \
    F(STRING, volume, R, NULL) F(STRING, xml, R, NULL) F(STRING, request, 0, NULL)
#define MIG_FIELDS_StartVmRequest(F) F(STRING, name, R, NULL) F(STRING, node, 0, NULL)
#define MIG_FIELDS_StopVmRequest(F) \
    F(STRING, name, R, NULL) F(BOOL, force, 0, NULL) F(INT, timeout_ms, 0, NULL)
#define MIG_FIELDS_UndefineVmRequest(F) F(STRING, name, R, NULL) F(BOOL, delete_images, 0, NULL)
/* NAME=VALUE each: restart, priority, on_isolation, prefer, move_policy, affinity, anti_affinity,
 * start_after */
#define MIG_FIELDS_SetVmRequest(F) F(STRING, name, R, NULL) F(STRV, settings, R, NULL)
#define MIG_FIELDS_ListEventsRequest(F) F(STRING, name, 0, NULL)
#define MIG_FIELDS_ListEventsReply(F) F(ARRAY, events, R, &mig_type_ApiEvent)
#define MIG_FIELDS_TimeoutsReply(F) F(ARRAY, times, R, &mig_type_ApiTime)
#define MIG_FIELDS_PlanReply(F) F(ARRAY, plan, R, &mig_type_ApiPlan)
/* dry_run: only say what would be done */
#define MIG_FIELDS_DrainNodeRequest(F) F(STRING, node, R, NULL) F(BOOL, dry_run, 0, NULL)
#define MIG_FIELDS_DrainNodeReply(F) F(ARRAY, steps, R, &mig_type_ApiDrainStep)
#define MIG_FIELDS_ListVmsReply(F) F(ARRAY, vms, R, &mig_type_ApiVm)
#define MIG_FIELDS_VmReply(F) F(OBJECT, vm, R, &mig_type_ApiVm)

/* volume null: the only one that is attached */
#define MIG_FIELDS_AdoptVmRequest(F) F(STRING, name, R, NULL) F(STRING, volume, 0, NULL)
/* interim: vm null; the last one has it */
#define MIG_FIELDS_AdoptVmReply(F) \
    F(OBJECT, vm, 0, &mig_type_ApiVm) F(INT, done, 0, NULL) F(INT, total, 0, NULL) \
    F(STRV, old_disks, 0, NULL)        /* TARGET: PATH, left where they were */ \
    F(STRING, old_definition, 0, NULL) /* file that has it */

/* vm null: every VM that runs; node null: every node but its own */
#define MIG_FIELDS_CheckVmRequest(F) \
    F(STRING, vm, 0, NULL) F(STRING, node, 0, NULL) \
    F(INT, bandwidth, Z, NULL) F(INT, max_downtime_ms, Z, NULL) /* as of MoveVm, for the forecast */ \
    F(STRING, policy, 0, NULL)
/* cpu: libvirt's <cpu>; missing: nodes that could not be asked, so it may not be theirs */
#define MIG_FIELDS_CpuBaselineReply(F) \
    F(STRING, cpu, R, NULL) F(STRV, nodes, R, NULL) F(STRV, missing, 0, NULL)
#define MIG_FIELDS_PeerCpuReply(F) F(STRING, vendor, 0, NULL) F(STRING, cpu, R, NULL)
#define MIG_FIELDS_CheckVmReply(F) F(ARRAY, verdicts, R, &mig_type_ApiVerdict)
#define MIG_FIELDS_MoveVmRequest(F) \
    F(STRING, vm, R, NULL) F(STRING, node, R, NULL) \
    F(INT, bandwidth, 0, NULL)         /* bytes/s, 0 no limit */ \
    F(INT, max_downtime_ms, 0, NULL)   /* the policy never allows more; 0 = its default */ \
    F(INT, timeout_ms, 0, NULL)        /* give up (source runs on); 0 = default */ \
    F(INT, priority, 0, NULL)          /* 1 to 1000, higher goes first; 0 = the VM's */ \
    F(BOOL, no_wait, 0, NULL)          /* refused where it would have to wait */ \
    F(STRING, policy, 0, NULL)         /* null: the VM's, or the node's */
#define MIG_FIELDS_JobReply(F) F(OBJECT, job, R, &mig_type_ApiJob)
/* volumes: how many the node has attached that are not lost, and one more; 0: not told (before 0.3) */
#define MIG_FIELDS_ListJobsReply(F) \
    F(ARRAY, jobs, R, &mig_type_ApiJob) F(INT, volumes, Z, NULL) \
    F(STRV, beats, 0, NULL) /* to nodes: "UUID HEARTBEAT" of each volume that is not lost */
#define MIG_FIELDS_JobStatsReply(F) \
    F(OBJECT, duration, R, &mig_type_ApiMisses) F(OBJECT, downtime, R, &mig_type_ApiMisses)
#define MIG_FIELDS_JobRequest(F) F(STRING, id, R, NULL)
#define MIG_FIELDS_SetJobRequest(F) \
    F(STRING, id, R, NULL) \
    F(INT, bandwidth, Z, NULL)         /* bytes/s; 0: as it is, -1: no limit */ \
    F(INT, max_downtime_ms, Z, NULL)   /* 0: as it is */ \
    F(BOOL, postcopy_now, 0, NULL)     /* let the target run it at once */
/* op: libvirt's word; lockspace, lease: of its <lease> */
#define MIG_FIELDS_HookDomainRequest(F) \
    F(STRING, op, R, NULL) F(STRING, vm, R, NULL) F(STRING, uuid, 0, NULL) \
    F(STRING, lockspace, 0, NULL) F(STRING, lease, 0, NULL)

/* --- between nodes (io.migrated.Peer) --- */
/* What the source tells the target before anything is touched there. */
#define MIG_FIELDS_PeerPrepareRequest(F) \
    F(STRING, job, R, NULL) F(STRING, vm, R, NULL) F(STRING, uuid, R, NULL) \
    F(STRING, volume, R, NULL) F(STRING, source, R, NULL) \
    F(INT, memory, R, NULL) F(STRING, cpu_vendor, 0, NULL) \
    F(STRING, migration, 0, NULL) F(STRV, images, R, NULL)  /* volume/image */ \
    F(STRING, certificate, 0, NULL)    /* of its QEMU: SHA-256 of the root; null: clear text */ \
    F(INT, hugepage, Z, NULL)          /* size of the pages it needs; 0: the usual ones */
#define MIG_FIELDS_PeerPrepareReply(F) \
    F(ARRAY, checks, R, &mig_type_ApiCheck) \
    F(STRING, migration_address, 0, NULL) F(BOOL, ready, 0, NULL) \
    F(STRING, certificate, 0, NULL)    /* of its QEMU */ \
    F(INT, bandwidth, Z, NULL)         /* bytes/s that it takes of this move for now; 0: no limit */
/* The target's end of the link is shared anew. */
#define MIG_FIELDS_PeerShareRequest(F) F(STRING, id, R, NULL) F(INT, bandwidth, R, NULL)
#define MIG_FIELDS_PeerFinishRequest(F) \
    F(STRING, job, R, NULL) F(STRING, vm, R, NULL) F(STRING, uuid, R, NULL) \
    F(STRING, volume, R, NULL) F(BOOL, keep, R, NULL)       /* it shall run there now */
#define MIG_FIELDS_PeerFinishReply(F) \
    F(INT, downtime_ms, 0, NULL) \
    F(INT, transferred, 0, NULL) F(INT, rate, 0, NULL) /* bytes and bytes/s, of all; 0: not known */ \
    F(INT, arrived_ago_us, 0, NULL) F(INT, running_ago_us, 0, NULL) /* before the answer; 0: not seen */ \
    F(INT, took_us, 0, NULL)           /* from the question's arrival to the answer */ \
    F(BOOL, was_booted, 0, NULL)       /* its QEMU began with no guest: it did not come by a move */
/* What a node's libvirt says about a VM, the truth about one side. */
#define MIG_FIELDS_PeerRestartRequest(F) F(STRING, name, R, NULL) F(INT, version, 0, NULL)
#define MIG_FIELDS_PeerDomainRequest(F) F(STRING, vm, R, NULL) F(STRING, uuid, R, NULL)
#define MIG_FIELDS_PeerDomainReply(F) \
    F(STRING, state, R, NULL)          /* absent, running, paused, incoming, unknown */ \
    F(BOOL, was_shut_down, 0, NULL)    /* absent: its guest has powered it off here */ \
    F(BOOL, never_ran, 0, NULL)        /* absent: it was to come here, and was surely never let run */ \
    F(BOOL, is_stuck, 0, NULL)         /* postcopy-failed: its QEMU hears nobody */
#define MIG_FIELDS_PeerReserveRequest(F) \
    F(STRING, job, R, NULL) F(STRING, source, R, NULL) F(STRING, target, R, NULL) \
    F(INT, priority, 0, NULL) F(INT, waited_ms, 0, NULL)    /* since it was asked for */
/* A change of a volume's catalogue, asked of its coordinator. again: it may have been asked before.
 * change: which one (migrated/changes.c), and what it needs of the rest */
#define MIG_FIELDS_PeerChangeRequest(F) \
    F(STRING, id, R, NULL) F(STRING, change, R, NULL) F(STRING, volume, R, NULL) \
    F(BOOL, again, 0, NULL) \
    F(STRING, name, 0, NULL) F(STRING, new_name, 0, NULL) F(INT, size, 0, NULL) \
    F(STRING, xml, 0, NULL) F(STRV, settings, 0, NULL) F(STRV, images, 0, NULL) \
    F(BOOL, flag, 0, NULL) F(INT, host_id, 0, NULL) \
    F(STRING, uuid, 0, NULL) F(STRV, uuids, 0, NULL)    /* of the VM called name; of images */
/* not done: nothing was, ask coordinator (null: whoever is it by then); under_way: it is being done
 * for who asked before, ask again */
#define MIG_FIELDS_PeerChangeReply(F) \
    F(BOOL, done, R, NULL) F(STRING, coordinator, 0, NULL) F(BOOL, under_way, 0, NULL) \
    F(OBJECT, image, 0, &mig_type_ApiImage) F(STRING, name, 0, NULL) F(BOOL, beside, 0, NULL)
#define MIG_FIELDS_CoordinatorRequest(F) \
    F(STRING, name, R, NULL) F(STRING, node, R, NULL)
/* node: the target, which asks */
#define MIG_FIELDS_PeerFollowRequest(F) \
    F(STRING, vm, R, NULL) F(STRING, uuid, R, NULL) F(STRING, node, R, NULL)
/* not granted: the job has a place in the queue, as long as it asks again */
#define MIG_FIELDS_PeerReserveReply(F) \
    F(BOOL, granted, R, NULL) F(INT, position, 0, NULL) F(STRING, waits_for, 0, NULL)
/* What a node says of itself to who would move a VM there. job: where there is one already */
#define MIG_FIELDS_PeerLink(F) \
    F(STRING, address, 0, NULL) F(STRING, interface, 0, NULL) F(BOOL, up, R, NULL) \
    F(INT, mtu, R, NULL) F(BOOL, default_route, R, NULL) \
    F(STRV, guests, 0, NULL) F(STRV, clients, 0, NULL)
#define MIG_FIELDS_PeerFactsRequest(F) \
    F(STRING, vm, R, NULL) F(STRING, uuid, R, NULL) F(STRING, volume, R, NULL) \
    F(STRING, source, R, NULL) F(STRING, job, 0, NULL) \
    F(STRING, definition, R, NULL)     /* as it runs */ \
    F(STRV, images, R, NULL) \
    F(STRING, probe_from, 0, NULL)     /* the address that would measure; null: it does not */
#define MIG_FIELDS_PeerFactsReply(F) \
    F(BOOL, draining, R, NULL) F(BOOL, attached, R, NULL) \
    F(STRING, missing_image, 0, NULL) \
    F(STRING, domain, R, NULL)         /* of that name: absent, running, ... */ \
    F(STRING, uuid_owner, 0, NULL) \
    F(INT, memory_free, R, NULL) F(INT, memory_reserved, R, NULL) /* of the kind it needs */ \
    F(STRING, migration, 0, NULL) \
    F(STRING, cpu_vendor, 0, NULL) F(STRING, cpu_features, 0, NULL) \
    F(STRING, microcode, 0, NULL) F(INT, emulator_version, 0, NULL) \
    F(BOOL, emulator, R, NULL) F(BOOL, machine, R, NULL) \
    F(STRING, machine_problem, 0, NULL) \
    F(STRING, cpu, R, NULL)            /* fits, incompatible, not-compared */ \
    F(STRING, cpu_problem, 0, NULL) F(STRING, numa_problem, 0, NULL) \
    F(STRV, missing_networks, 0, NULL) F(STRV, missing_media, 0, NULL) \
    F(STRING, waits_for, 0, NULL) F(OBJECT, link, 0, &mig_type_PeerLink) \
    F(INT, probe_port, 0, NULL) F(STRING, probe_word, 0, NULL) /* a measurement is awaited there */ \
    F(BOOL, postcopy, 0, NULL)         /* its QEMU can receive that way; not said before 0.3 */ \
    F(STRING, postcopy_problem, 0, NULL) /* why not */

/* X(type) for each message above, elements before their users */
#define MIG_API_TYPES(X) \
    X(ApiNode) X(ApiVolume) X(ApiImage) X(ApiVm) X(ApiCheck) X(ApiPhase) X(ApiMoment) X(ApiRange) X(ApiForecast) X(ApiMisses) X(ApiJob) \
    X(ApiEvent) X(ApiTime) X(ApiPlan) X(ApiDrainStep) X(ApiVerdict) \
    X(Empty) X(NameRequest) X(ErrorReply) X(StatusReply) X(ListNodesReply) X(NodeReply) \
    X(CreateClusterRequest) X(JoinClusterRequest) X(ClusterReply) X(RotateKeyReply) \
    X(FormatVolumeRequest) X(AttachVolumeRequest) X(VolumeReply) X(ListVolumesReply) \
    X(ImageRequest) X(CreateImageRequest) X(ImportImageRequest) X(ExportImageRequest) \
    X(RenameImageRequest) X(PlanSpaceRequest) X(BackupVolumeRequest) X(ListImagesRequest) X(ListImagesReply) X(ImageReply) \
    X(DefineVmRequest) X(StartVmRequest) X(StopVmRequest) X(UndefineVmRequest) \
    X(ListVmsReply) X(VmReply) X(SetVmRequest) X(AdoptVmRequest) X(AdoptVmReply) \
    X(ListEventsRequest) X(ListEventsReply) X(TimeoutsReply) X(PlanReply) X(DrainNodeRequest) X(DrainNodeReply) \
    X(CheckVmRequest) X(CheckVmReply) X(CpuBaselineReply) X(PeerCpuReply) \
    X(MoveVmRequest) X(JobReply) X(ListJobsReply) X(JobStatsReply) X(JobRequest) X(SetJobRequest) X(HookDomainRequest) \
    X(PeerPrepareRequest) X(PeerPrepareReply) X(PeerFinishRequest) X(PeerFinishReply) \
    X(PeerDomainRequest) X(PeerDomainReply) X(PeerReserveRequest) X(PeerReserveReply) \
    X(PeerRestartRequest) X(PeerFollowRequest) X(PeerShareRequest) X(PeerChangeRequest) X(PeerChangeReply) \
    X(CoordinatorRequest) \
    X(PeerLink) X(PeerFactsRequest) X(PeerFactsReply)
/* clang-format on */

#define MIG_DECLARE_TYPE(T)                                                    \
    typedef struct Mig##T {                                                    \
        MIG_FIELDS_##T(MIG_MEMBER) char _unused; /* a struct is never empty */ \
    } Mig##T;                                                                  \
    extern const MigType mig_type_##T;                                         \
    static inline Mig##T *mig_##T##_new(void)                                  \
    {                                                                          \
        return mig_message_new(&mig_type_##T);                                 \
    }                                                                          \
    static inline void mig_##T##_free(Mig##T *message)                         \
    {                                                                          \
        mig_message_free(&mig_type_##T, message);                              \
    }                                                                          \
    G_DEFINE_AUTOPTR_CLEANUP_FUNC(Mig##T, mig_##T##_free)
MIG_API_TYPES(MIG_DECLARE_TYPE)
#undef MIG_DECLARE_TYPE
#undef R
#undef Z

/* The .varlink texts, for introspection. */
extern const char *const mig_api_varlink;
extern const char *const mig_peer_varlink;
#define MIG_API_INTERFACE  "io.migrated"
#define MIG_PEER_INTERFACE "io.migrated.Peer"
