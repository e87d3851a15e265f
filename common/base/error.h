/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* error.h - every error that a user, a peer or a test can tell apart. */
#pragma once

#include <glib.h>

/*
 * One list serves the daemon (GError codes), the wire (io.migrated.<Name>), the CLI (exit codes)
 * and the man page (a lint test compares them). Codes that callers never branch on do not belong
 * here: they are FAILED with a good text.
 *
 * A GError message is one line for people: what is wrong, then what to do about it. Adding one:
 * append to the list of its group, then to "EXIT STATUS" in man/migratectl.pod.
 *
 * X(enumerator, wire name, exit code of migratectl)
 */
#define MIG_ERROR_LIST(X)                                  \
    X(MIG_ERROR_FAILED, "Failed", 1)                       \
    X(MIG_ERROR_USAGE, "Usage", 2)                         \
    /* no such thing */                                    \
    X(MIG_ERROR_VM_UNKNOWN, "VmUnknown", 10)               \
    X(MIG_ERROR_NODE_UNKNOWN, "NodeUnknown", 11)           \
    X(MIG_ERROR_VOLUME_UNKNOWN, "VolumeUnknown", 12)       \
    X(MIG_ERROR_IMAGE_UNKNOWN, "ImageUnknown", 13)         \
    X(MIG_ERROR_JOB_UNKNOWN, "JobUnknown", 14)             \
    /* the request does not fit the state of things */     \
    X(MIG_ERROR_EXISTS, "Exists", 20)                      \
    X(MIG_ERROR_MOVE_TO_ITSELF, "MoveToItself", 21)        \
    X(MIG_ERROR_VM_STOPPED, "VmStopped", 22)               \
    X(MIG_ERROR_VM_RUNNING, "VmRunning", 23)               \
    X(MIG_ERROR_VM_BUSY, "VmBusy", 24)                     \
    X(MIG_ERROR_IMAGE_IN_USE, "ImageInUse", 25)            \
    X(MIG_ERROR_VOLUME_IN_USE, "VolumeInUse", 26)          \
    X(MIG_ERROR_JOB_ENDED, "JobEnded", 27)                 \
    X(MIG_ERROR_CHECK_REFUSED, "CheckRefused", 28)         \
    X(MIG_ERROR_LEASE_HELD, "LeaseHeld", 29)               \
    X(MIG_ERROR_COORDINATOR_BUSY, "CoordinatorBusy", 30)   \
    X(MIG_ERROR_NODE_ALIVE, "NodeAlive", 31)               \
    X(MIG_ERROR_QUEUE_FULL, "QueueFull", 32)               \
    X(MIG_ERROR_BUSY, "Busy", 33)                          \
    X(MIG_ERROR_DRAIN_INCOMPLETE, "DrainIncomplete", 37)   \
    X(MIG_ERROR_IMAGE_LOCKED, "ImageLocked", 38)           \
    X(MIG_ERROR_FENCED, "Fenced", 39)                      \
    /* the LUN */                                          \
    X(MIG_ERROR_VOLUME_FULL, "VolumeFull", 40)             \
    X(MIG_ERROR_NOT_A_VOLUME, "NotAVolume", 41)            \
    X(MIG_ERROR_LUN_TRUNCATED, "LunTruncated", 42)         \
    X(MIG_ERROR_FORMAT_FUTURE, "FormatFuture", 43)         \
    X(MIG_ERROR_SECTOR_SIZE, "SectorSize", 44)             \
    X(MIG_ERROR_DAMAGED, "Damaged", 45)                    \
    X(MIG_ERROR_IO, "Io", 46)                              \
    X(MIG_ERROR_ALREADY_FORMATTED, "AlreadyFormatted", 47) \
    X(MIG_ERROR_LUN_TOO_SMALL, "LunTooSmall", 48)          \
    X(MIG_ERROR_BAD_MOUNT, "BadMount", 49)                 \
    /* what was said cannot be meant */                    \
    X(MIG_ERROR_BAD_NAME, "BadName", 50)                   \
    X(MIG_ERROR_BAD_VALUE, "BadValue", 51)                 \
    X(MIG_ERROR_BAD_DEFINITION, "BadDefinition", 52)       \
    X(MIG_ERROR_CONFIG, "Config", 53)                      \
    X(MIG_ERROR_NO_COMMON_CPU, "NoCommonCpu", 54)          \
    X(MIG_ERROR_NO_CLUSTER, "NoCluster", 55)               \
    /* getting there */                                    \
    X(MIG_ERROR_NO_DAEMON, "NoDaemon", 60)                 \
    X(MIG_ERROR_NODE_UNREACHABLE, "NodeUnreachable", 61)   \
    X(MIG_ERROR_TIMEOUT, "Timeout", 62)                    \
    X(MIG_ERROR_CANCELLED, "Cancelled", 63)                \
    X(MIG_ERROR_DENIED, "Denied", 64)                      \
    X(MIG_ERROR_PROTOCOL, "Protocol", 65)                  \
    X(MIG_ERROR_MOVE_FAILED, "MoveFailed", 66)             \
    X(MIG_ERROR_PEER_REFUSED, "PeerRefused", 67)

typedef enum {
#define MIG_ERROR_ENUM(enumerator, name, exit_code) enumerator,
    MIG_ERROR_LIST(MIG_ERROR_ENUM)
#undef MIG_ERROR_ENUM
} MigErrorCode;

#define MIG_ERROR (mig_error_quark())
GQuark mig_error_quark(void);

/* "VmUnknown"; for a value outside the list "Failed". Static. */
const char *mig_error_name(int code);
/* By wire name without the interface; MIG_ERROR_FAILED for an unknown one. */
MigErrorCode mig_error_from_name(const char *name);
/* What migratectl exits with; 1 for errors of other domains. */
int mig_error_exit_code(const GError *error);
