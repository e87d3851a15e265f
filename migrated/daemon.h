/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* daemon.h - what belongs to one running migrated, wired by main.c. */
#pragma once

#include "base/config.h"
#include "drivers/hv-libvirt.h"
#include "drivers/lease-sanlock.h"
#include "drivers/peer-rpc.h"
#include "drivers/peer-tunnel.h"
#include "drivers/store-file.h"
#include "drivers/tls-identity.h"

typedef struct MigVolumes MigVolumes;
typedef struct MigVms MigVms;
typedef struct MigLink MigLink;
typedef struct MigTurns MigTurns;
typedef struct MigIncoming MigIncoming;
typedef struct MigShares MigShares;
typedef struct MigMeters MigMeters;
typedef struct MigJobs MigJobs;
typedef struct MigEvents MigEvents;
typedef struct MigSigns MigSigns;
typedef struct MigFailover MigFailover;
typedef struct MigRecovery MigRecovery;
typedef struct MigTrusted MigTrusted;
typedef struct MigAgain MigAgain;
typedef struct MigHooked MigHooked;

/*
 * A bag of pointers, set once before anything runs and never changed after that; so it needs no
 * lock. Each member guards its own state: the rule is that a module's table is only touched through
 * its functions, which lock inside and never call another module with the lock held.
 */
typedef struct MigDaemon {
    const MigConfig *config;
    const char *config_path;
    const char *node; /* this one's name */
    guint32 host_id;
    MigLink *link;         /* link.h: this node's place in the migration network */
    MigIdentity *identity; /* key and certificate of this node */
    MigLibvirt *libvirt;
    const MigHv *hv;
    MigSanlock *sanlock;
    MigTunnels *tunnels;
    MigPeerRpc *peer;
    MigStoreFile *store;
    MigTrusted *trusted;   /* trusted.h: who is accepted as a peer */
    MigVolumes *volumes;   /* volumes.h: attached volumes, nodes seen on them */
    MigVms *vms;           /* vms.h: what runs here */
    MigTurns *turns;       /* turns.h: whose turn it is to move, and who waits */
    MigIncoming *incoming; /* incoming.h: moves that come here */
    MigShares *shares;     /* shares.h: what they may bring */
    MigJobs *jobs;         /* jobs.h: moves that go from here */
    MigMeters *meters;     /* meters.h: how fast guests dirty their memory */
    MigEvents *events;     /* events.h: what was decided, and why */
    MigSigns *signs;       /* signs.h: who answers */
    MigFailover *failover; /* failover.h: who lives */
    MigRecovery *recovery; /* recovery.h: VMs that are started again */
    MigAgain *again;       /* again.h: VMs that were ended here, and are to run again */
    MigHooked *hooked;     /* hooked.h: what libvirt's hook asks */
} MigDaemon;
