/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* catalog.h - the catalogue as one reading of the LUN shows it: all VMs, all images. */
#pragma once

#include "alloc.h"
#include "slot.h"

#define CSV_READ_VMS         1u
#define CSV_READ_IMAGES      2u
#define CSV_READ_DEFINITIONS 4u
/* VM slots that never had a user are mostly left unread: for who looks every few seconds. */
#define CSV_READ_BRIEFLY 8u
#define CSV_READ_APART   16u /* keeps what lacks its second write, settle.h */
#define CSV_READ_ALL     (CSV_READ_VMS | CSV_READ_IMAGES)

/* What a writer must know of each slot. */
struct csv_brief {
    enum csv_slot_state state;
    uint32_t place; /* of a VM that is used: in csv_catalog.vms */
    uint64_t generation;
    struct csv_epoch epoch; /* of the copy that counts */
};

struct csv_chunk;
struct csv_unsettled;
struct csv_apart;

struct csv_catalog {
    const struct csv_super *super;
    unsigned parts;
    struct csv_epoch epoch; /* the highest seen */
    struct csv_brief *vm_briefs, *image_briefs;
    /* Used slots only. An image ends with its last extent: csv_image_record_copy() it before it is
     * made longer or passed on. */
    struct csv_vm_record *vms;
    struct csv_image_record **images;
    struct csv_chunk *chunks;        /* where the images are */
    struct csv_unsettled *unsettled; /* late.h; mostly none */
    struct csv_apart *apart;         /* settle.h; mostly none */
    unsigned apart_count;
    size_t vm_count, image_count;
    size_t vms_damaged, images_damaged;
    char damage[128]; /* the first damaged slot, in words */
};

/* Reads the parts fresh from the LUN; csv_catalog_clear() it in any case. */
int csv_catalog_read(struct csv_volume *volume, unsigned parts, struct csv_catalog *catalog,
                     struct csv_error *error);
void csv_catalog_clear(struct csv_catalog *catalog);

/* A copy of an image that lives as long as the catalogue; NULL: no memory. */
struct csv_image_record *
csv_catalog_keep(struct csv_catalog *catalog, const struct csv_image_record *record);

struct csv_brief *
csv_catalog_brief(const struct csv_catalog *catalog, enum csv_kind kind, uint32_t index);
/* Of a used one: where it is among the VMs, or the images. */
size_t csv_catalog_place(const struct csv_catalog *catalog, enum csv_kind kind, uint32_t index);
/* The slot was written anew under that head, and nothing in it is another. */
void csv_catalog_written(struct csv_catalog *catalog, enum csv_kind kind, uint32_t index,
                         const struct csv_head *head);

/* What was written so far, by whomever, stays. */
int csv_catalog_flush(struct csv_volume *volume, struct csv_error *error);

/* For a writer: locks the catalogue, reads all of it and refuses a stale epoch. On 0 the lock is
 * held until csv_catalog_end(), which is called in any case. */
int csv_catalog_begin(struct csv_volume *volume, const struct csv_epoch *epoch,
                      struct csv_catalog *catalog, struct csv_error *error);
void csv_catalog_end(struct csv_volume *volume, struct csv_catalog *catalog);

/* NULL: not there. */
struct csv_vm_record *csv_catalog_vm(const struct csv_catalog *catalog, const char *name);
struct csv_image_record *csv_catalog_image(const struct csv_catalog *catalog, const char *name);

/* The VM that owns an image: the one in owner_slot, if it is still the one born there then. NULL:
 * none (never given, or that VM is gone). This is why deleting a VM is one write. */
const struct csv_vm_record *
csv_catalog_owner(const struct csv_catalog *catalog, const struct csv_image_record *record);
/* CSV_E_DAMAGED where an image was given to a VM whose slot is damaged: whether that still owns it,
 * and runs with it, is unknown. */
int csv_catalog_owner_known(const struct csv_catalog *catalog,
                            const struct csv_image_record *record, struct csv_error *error);

/* Free space; damaged image slots forbid it, since what they claim is unknown. */
int csv_catalog_space(const struct csv_catalog *catalog, struct csv_space *space,
                      struct csv_error *error);

/* A slot for something new: of those without a user the one that was changed least, so that the
 * requests noted in freed slots stay as long as can be. -1: none. */
int64_t csv_catalog_free_slot(const struct csv_catalog *catalog, enum csv_kind kind);

/* Notes that a change is in doubt (result CSV_E_IO), or that it is no more (0); passes result on.
 */
int csv_catalog_unsure(struct csv_volume *volume, int change, const char *name, const char *uuid,
                       int result);
bool csv_catalog_was_unsure(const struct csv_volume *volume, int change, const char *name);
/* Such a change was found done: it is on the disk for good when this returns 0, and the note is
 * gone. */
int csv_catalog_settle(struct csv_volume *volume, struct csv_error *error);

/* The slot where a VM or an image of this name was seen last by this handle, -1: nowhere. Usually
 * it still is there, and reading that one slot tells. */
int64_t csv_catalog_hint(struct csv_volume *volume, enum csv_kind kind, const char *name);

/* ---- check.c, check-live.c ---- */

/* What csv_check() does, at one go: what others change meanwhile may look like damage. */
int csv_check_once(struct csv_volume *volume,
                   void (*report)(const struct csv_finding *finding, void *data), void *data,
                   struct csv_error *error);
/* Only what VMs and images say of one another: names, uuids and space. No briefs, no I/O. */
int csv_check_contents(const struct csv_catalog *catalog,
                       void (*report)(const struct csv_finding *finding, void *data), void *data,
                       struct csv_error *error);
/* csv_check(); wait lets time pass between one look and the next. */
int
csv_check_live(struct csv_volume *volume,
               void (*report)(const struct csv_finding *finding, void *data), void *data,
               size_t *errors, void (*wait)(void *data), void *wait_data, struct csv_error *error);
