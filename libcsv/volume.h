/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* volume.h - what is behind a volume's handle; for the files of this folder and its tests. */
#pragma once

#include "csv.h"
#include "dev.h"
#include "format.h"

#include <pthread.h>

struct csv_active; /* device.c */

/* A change of this handle whose commit ended in an error and may have landed all the same: its
 * retry finds it done, and that is no conflict with anybody. Held under catalog_lock. */
struct csv_unsure {
    enum {
        CSV_UNSURE_NONE,
        CSV_UNSURE_IMAGE_CREATE,
        CSV_UNSURE_IMAGE_DELETE,
        CSV_UNSURE_IMAGE_RENAME,
        CSV_UNSURE_VM_DELETE,
    } change;
    char name[CSV_NAME_MAX + 1]; /* of the VM or image before the change */
    char uuid[CSV_UUID_STR];
};

/* Slot -> name last seen there: where to look first, nothing more. A look-up goes over the hashes,
 * 40 KiB for 10,000 images. */
struct csv_hints {
    uint32_t *hashes;
    char (*names)[CSV_NAME_MAX + 1];
};

struct csv_volume {
    struct csv_dev *dev;    /* ours to close */
    struct csv_super super; /* but for its end never changes: see csv_super_refresh() */
    struct csv_info info;
    bool is_read_only;
    /* Three locks, never nested: a heartbeat must not wait for an image being zeroed. */
    pthread_mutex_t catalog_lock; /* one catalogue change at a time */
    pthread_mutex_t node_lock;
    pthread_mutex_t device_lock; /* and the list of active devices */
    pthread_mutex_t hint_lock;   /* inside catalog_lock or alone */
    struct csv_hints vm_hints, image_hints;
    uint32_t vms_touched; /* hint_lock: VM slots from here on were never written when last seen */
    unsigned vm_readings; /* hint_lock: since all of them were read; 0: never were */
    struct csv_unsure unsure;
    csv_guard guard; /* see csv_volume_set_guard() */
    void *guard_data;
    struct csv_active *active;
};

/* As csv_format() and csv_open(), on a device. Both take the device over, failing or not. */
int csv_format_dev(struct csv_dev *dev, const struct csv_format_options *options,
                   struct csv_info *info, struct csv_error *error);
int csv_open_dev(struct csv_dev *dev, unsigned flags, struct csv_volume **volume,
                 struct csv_error *error);

/* As csv_restore(), on a device, which it takes over. */
int csv_restore_dev(struct csv_dev *dev, int fd, bool force, struct csv_error *error);

/* As csv_repair(), on a device, which it takes over. */
int csv_repair_dev(struct csv_dev *dev, bool force,
                   void (*report)(const struct csv_finding *finding, void *data), void *data,
                   size_t *count, struct csv_error *error);

/* Reads the superblock by the rules at csv_open(): which copy counts, and what is wrong. */
int csv_super_read(struct csv_dev *dev, struct csv_super *super, struct csv_error *error);

/* One superblock copy; *super is filled when the result is CSV_BLOCK_OK. text (may be NULL) gets
 * what is wrong with the content. Negative errno when it cannot be read. */
int csv_super_read_copy(struct csv_dev *dev, uint64_t address, struct csv_super *super,
                        const char **text);

/* What the superblock says against what this version can do and what the LUN is now. */
int csv_super_check_fit(const struct csv_dev *dev, const struct csv_super *super, bool read_only,
                        struct csv_error *error);

/* Writes one superblock copy, and makes sure that it is there. */
int csv_super_write(struct csv_dev *dev, const struct csv_super *super, uint64_t address,
                    struct csv_error *error);

/* Looks whether the volume has grown since the handle was opened, by another node perhaps, and
 * takes over its new end. CSV_E_TRUNCATED: it has, and this node's LUN has not. */
int csv_super_refresh(struct csv_volume *volume, struct csv_error *error);

/* Writes a whole volume: what csv_format() says, and before the superblocks whatever fill (may be
 * NULL) writes into the empty slots. */
typedef int (*csv_fill)(struct csv_dev *dev, const struct csv_super *super, void *data,
                        struct csv_error *error);
int csv_volume_write(struct csv_dev *dev, const struct csv_super *super, csv_fill fill, void *data,
                     struct csv_error *error);

/* CSV_E_READ_ONLY where the handle may not write. */
int csv_need_writable(const struct csv_volume *volume, struct csv_error *error);

/* CSV_STALE_EPOCH where the guard says no. */
int csv_guard_ask(const struct csv_volume *volume, struct csv_error *error);

/* 16 random bytes made a version 4 uuid. */
int csv_uuid_make(uint8_t uuid[CSV_UUID_BYTES], struct csv_error *error);

/* ---- lease.c, lease-host.c: sanlock's areas. On a device without a path these do nothing. -- */

int csv_lease_format(struct csv_dev *dev, const struct csv_super *super, struct csv_error *error);
/* Writes a free lease named resource over whatever the slot's lease area holds. */
int csv_lease_reset(struct csv_volume *volume, uint32_t slot, const char *resource,
                    struct csv_error *error);
/* The same on a device that is no volume yet. */
int csv_lease_write(struct csv_dev *dev, const struct csv_super *super, uint32_t slot,
                    const char *resource, struct csv_error *error);
/* As csv_lease_read(), and CSV_E_DAMAGED where the request record and the ballots behind the leader
 * record, a MiB with it, are none that sanlock would take the lease with. */
int csv_lease_check(struct csv_volume *volume, enum csv_lease_kind kind, uint32_t index,
                    struct csv_lease_owner *owner, struct csv_error *error);
/* For a repair, where nobody is there: the lease is free then, was taken lver times at least, and
 * has no ballots. Where its leader record is sound and has that name it is kept, for it says who
 * had the lease last and how often it was taken. Where the sound ballots behind it say more often
 * they count, for that and for who it was; where lver does, who it was is not known: the record
 * says who had it some time before. Else all is made anew. Cut short, ballots may be left that
 * sanlock takes it with. */
int csv_lease_remake(struct csv_volume *volume, enum csv_lease_kind kind, uint32_t index,
                     const char *name, uint64_t lver, struct csv_error *error);
/* For a repair, where nobody is there: a host's lease anew, free; its next start has the generation
 * after that. 0: it never was here. */
int csv_lockspace_remake(struct csv_volume *volume, uint32_t host_id, uint64_t host_generation,
                         struct csv_error *error);
/* A host's lease beside its node slot. Behind it, and free, is what a repair leaves that was cut
 * short, or a restore. */
struct csv_host_judgement {
    bool is_damaged, is_behind;
    bool is_unknown; /* its slot does not say how often it was started */
    uint64_t slot_generation, lease_generation;
    struct csv_error why; /* is_damaged */
};

int csv_host_judge(struct csv_volume *volume, uint32_t host_id, struct csv_host_judgement *host,
                   struct csv_error *error); /* check.c */
/* The name that the lease of a deleted VM gets: no VM can have it. */
void csv_lease_free_name(uint32_t slot, char name[CSV_NAME_MAX + 1]);

/* ---- device.c ---------------------------------------------------------------------------- */

void csv_device_close_all(struct csv_volume *volume);
