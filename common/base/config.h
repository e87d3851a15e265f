/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* config.h - migrated.conf as a plain struct, typed and checked once at load. */
#pragma once

#include <glib.h>

/*
 * The table in config.c is the only place that knows keys, ranges and defaults. The shipped
 * conf/migrated.conf shows each of them; a test proves that both agree, and migrated.conf(5)
 * explains them. After loading, nothing in the struct needs checking again.
 */

#define MIG_CONFIG_FILE      "/etc/migrated/migrated.conf"
#define MIG_CONFIG_MAX_BYTES (256u << 10)

typedef struct {
    /* [node] */
    char *node_name; /* required; [A-Za-z0-9._-], 1 to 47 bytes */
    gint64 host_id;  /* required; 1 to 250, sanlock's */
    /* [network] */
    char *management;       /* required; IP address of this node's peer channel */
    gint64 port;            /* of the peer channel, the same on every node */
    char *migration;        /* required; this node's address with prefix length: 10.77.1.1/24 */
    gint64 migration_mib_s; /* of what it sends, and of what it receives; 0: no limit */
    /* [paths] */
    char *socket_path;
    char *state_dir;    /* job journal: must survive a restart of the machine */
    char *run_dir;      /* tunnel sockets and the like: gone with the machine */
    char *qemu_tls_dir; /* certificate and key for QEMU; libvirt's qemu.conf names the same */
    /* [libvirt] */
    char *libvirt_uri;
    /* [moves] */
    gint64 max_moves_per_node;
    gint64 queue_length; /* moves from this node that wait */
    gint64 default_max_downtime_ms;
    char *default_policy;           /* fast, gentle, must-finish, never-postcopy */
    gint64 default_timeout_s;       /* of a whole move; 0: none */
    gint64 default_bandwidth_mib_s; /* 0: no limit */
    gint64 multifd;                 /* connections of a move that cannot use post-copy; 0: one */
    gint64 encrypt;                 /* memory of VMs on the move */
    /* [volumes] */
    char **volume_devices; /* attached at start; NULL-terminated, never NULL */
    gint64 standing_coordinator;
    /* [failover] */
    gint64 failover_enabled;
    gint64 suspect_after_ms;
    gint64 restart_limit;     /* of one VM in a row: starts that failed, or did not last */
    gint64 isolated_after_ms; /* until a node that nobody answers acts on on_isolation=restart */
    gint64 unsafe_without_watchdog;
    /* [fence] */
    char *fence_dir; /* NODE.conf for each node that can be fenced */
    gint64 fence_timeout_s;
    gint64 fence_delay_s; /* after suspicion, for a crash dump */
    /* [limits] */
    gint64 max_connections;
    gint64 memory_reserve_mib; /* of this host, never given to VMs */
} MigConfig;

/* All defaults; the required members are NULL or 0. */
MigConfig *mig_config_new(void);
void mig_config_free(MigConfig *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigConfig, mig_config_free)

/* MIG_ERROR_CONFIG, one line with file, group and key; for an unknown one the nearest known. */
MigConfig *mig_config_load(const char *path, GError **error);
/* The same from memory; name stands for the file in messages. */
MigConfig *mig_config_parse(const char *name, const char *data, gsize length, GError **error);

/* What a value of this key must be, for messages; NULL if it is that. g_free(). */
char *mig_config_complaint(const char *group, const char *key, const char *value);

/* Is there no file, or one that says neither who this node is nor its number? Then the node is in
 * no cluster yet. */
gboolean mig_config_is_blank(const char *path);
/* Of such a file: what it says, defaults for the rest; the required members may be NULL or 0. */
MigConfig *mig_config_load_blank(const char *path, GError **error);

typedef struct {
    const char *group, *key;
    const char *value; /* NULL: as if it had not been given */
} MigConfigValue;

/* Replaces these keys (the list ends with a NULL group) and leaves the others and comments as they
 * are; the file is replaced as a whole, or made. Refused, MIG_ERROR_CONFIG, where what would come
 * out has values that are none. */
gboolean mig_config_set(const char *path, const MigConfigValue *values, GError **error);

/* The n-th known key, for tests and documentation: FALSE behind the last. fallback is the default
 * as written in the file, NULL where the key is required. */
gboolean mig_config_describe(guint n, const char **group, const char **key, const char **fallback);
