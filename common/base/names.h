/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* names.h - names that others rely on: log fields, message ids, environment, groups. */
#pragma once

/*
 * Journal fields and message ids are an interface: scripts filter by them. They are never
 * renamed, and a message id is never used for a second meaning. A new id comes from
 * "systemd-id128 new" (or any random uuid) and gets its page in the journal catalog.
 */

/* journal fields */
#define MIG_NAME_JOB    "MIGRATED_JOB"
#define MIG_NAME_DOMAIN "MIGRATED_DOMAIN"
#define MIG_NAME_PEER   "MIGRATED_PEER"
#define MIG_NAME_STATE  "MIGRATED_STATE"
#define MIG_NAME_LEASE  "MIGRATED_LEASE"
#define MIG_NAME_FROM   "MIGRATED_FROM"   /* of a call: "uid 0 pid 12", "peer 10.77.0.2" */
#define MIG_NAME_METHOD "MIGRATED_METHOD" /* of a call: "io.migrated.StartVm" */
#define MIG_NAME_RESULT "MIGRATED_RESULT" /* of a call: "ok", or the error's name */
#define MIG_NAME_CALLER "MIGRATED_CALLER" /* of a node's call: for which user of it: "uid 0" */

/* events that an operator acts on */
#define MIG_ID_STARTED         "9f3a1c52c7e94d0b8f5e6a1d2b7c4e01"
#define MIG_ID_STOPPED         "9f3a1c52c7e94d0b8f5e6a1d2b7c4e02"
#define MIG_ID_MOVE_STARTED    "5d0c8b1e4a2f47f69b3d7e8c1a6f5b10"
#define MIG_ID_MOVE_DONE       "5d0c8b1e4a2f47f69b3d7e8c1a6f5b11"
#define MIG_ID_MOVE_FAILED     "5d0c8b1e4a2f47f69b3d7e8c1a6f5b12"
#define MIG_ID_MOVE_ADOPTED    "5d0c8b1e4a2f47f69b3d7e8c1a6f5b13"
#define MIG_ID_MOVE_CLEAR      "5d0c8b1e4a2f47f69b3d7e8c1a6f5b14"
#define MIG_ID_VM_STARTED      "c1b7d94e02a64e5d8e0f3b5a7d9c2f20"
#define MIG_ID_VM_STOPPED      "c1b7d94e02a64e5d8e0f3b5a7d9c2f21"
#define MIG_ID_VM_LOST         "c1b7d94e02a64e5d8e0f3b5a7d9c2f22"
#define MIG_ID_VOLUME_ATTACHED "71e5a3f8d6c24b97a0c4e2b8f1d35a30"
#define MIG_ID_VOLUME_DETACHED "71e5a3f8d6c24b97a0c4e2b8f1d35a31"
#define MIG_ID_VOLUME_LOST     "71e5a3f8d6c24b97a0c4e2b8f1d35a32"
#define MIG_ID_NODE_UP         "e80b6d3c95f1402a8d7c1e9f4b6a2d40"
#define MIG_ID_NODE_DOWN       "e80b6d3c95f1402a8d7c1e9f4b6a2d41"
#define MIG_ID_DENIED          "2a94f7c06b3e4d1895ce0d8a7f1b6e50"
#define MIG_ID_AUDIT           "2a94f7c06b3e4d1895ce0d8a7f1b6e51"
#define MIG_ID_PEER_REFUSED    "0c4d8f1e93b74a6cb25e7a90d3f61c70"
#define MIG_ID_PEER_CUT        "0c4d8f1e93b74a6cb25e7a90d3f61c71"

/* environment */
#define MIG_ENV_SOCKET "MIGRATED_SOCKET"
#define MIG_ENV_DEBUG  "MIGRATED_DEBUG"

/* where the daemon listens, if its configuration says nothing else */
#define MIG_API_SOCKET "/run/migrated/socket"

/* system groups: may change things; may look */
#define MIG_GROUP_ADMIN "migrated"
#define MIG_GROUP_READ  "libvirt"
