/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* catalog.c - reading the whole catalogue, and the writers' entry and exit. */

/*
 * Several nodes take turns at writing, so a writer never trusts what it read last time: each change
 * begins with reading every slot. That is some hundred MiB at most, sequential, and catalogue
 * changes are rare. It buys three things: no cache to invalidate, the newest epoch is seen
 * whichever slot its writer touched, and names and space are checked against all there is.
 * csv-format(5) says why no count of changes makes a cache safe.
 */

#include "catalog.h"

#include "crc32c.h"
#include "error.h"
#include "late.h"
#include "settle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Images are put one behind the other: thousands of them in a few pages each hundred. */
#define CHUNK_BYTES (256u << 10)
/* of VM slots never written: so many end a reading, and twice as many are read */
#define SPARE 16u
/* the first of so many reads all */
#define BRIEF_READINGS 16u

struct csv_chunk {
    struct csv_chunk *next;
    size_t used;
    _Alignas(8) uint8_t data[CHUNK_BYTES];
};

struct walk {
    struct csv_volume *volume;
    struct csv_catalog *catalog;
    struct csv_image_record scratch;
    struct csv_error *error;
};

static void
see(struct csv_catalog *catalog, struct csv_brief *brief, const struct csv_slot *slot)
{
    brief->state = slot->state;
    brief->generation = slot->head.generation;
    brief->epoch = slot->head.epoch;
    if (csv_epoch_compare(&slot->head.epoch, &catalog->epoch) > 0)
        catalog->epoch = slot->head.epoch;
}

static void
see_damage(struct csv_catalog *catalog, enum csv_kind kind, uint32_t index,
           const struct csv_slot *slot)
{
    if (!catalog->damage[0])
        snprintf(catalog->damage, sizeof(catalog->damage), "%s %u: %s; %s", csv_kind_name(kind),
                 index, slot->text[0], slot->text[1]);
}

struct csv_brief *
csv_catalog_brief(const struct csv_catalog *catalog, enum csv_kind kind, uint32_t index)
{
    return kind == CSV_KIND_VM ? &catalog->vm_briefs[index] : &catalog->image_briefs[index];
}

size_t
csv_catalog_place(const struct csv_catalog *catalog, enum csv_kind kind, uint32_t index)
{
    size_t i = 0;

    if (kind == CSV_KIND_VM)
        return catalog->vm_briefs[index].place;
    while (catalog->images[i]->image.slot != index)
        i++;
    return i;
}

void
csv_catalog_written(struct csv_catalog *catalog, enum csv_kind kind, uint32_t index,
                    const struct csv_head *head)
{
    struct csv_brief *brief = csv_catalog_brief(catalog, kind, index);

    brief->generation = head->generation;
    brief->epoch = head->epoch;
    if (brief->state != CSV_SLOT_USED)
        brief->state = CSV_SLOT_FREED;
    else if (kind == CSV_KIND_VM)
        catalog->vms[brief->place].vm.generation = head->generation;
    else
        catalog->images[csv_catalog_place(catalog, kind, index)]->image.generation =
            head->generation;
}

/* 0 is an empty entry. */
static uint32_t
name_hash(const char *name)
{
    return csv_crc32c(name, strlen(name)) | 1;
}

static struct csv_hints *
hints_of(struct csv_volume *volume, enum csv_kind kind)
{
    return kind == CSV_KIND_VM ? &volume->vm_hints : &volume->image_hints;
}

/* name NULL: nobody has the slot. One that stays there under the name of a VM that was deleted
 * would hide the slot of the next by that name, and each look-up of it would read all slots. */
static void
hint(struct csv_volume *volume, enum csv_kind kind, uint32_t slot, const char *name)
{
    struct csv_hints *hints = hints_of(volume, kind);
    uint32_t hash = name ? name_hash(name) : 0;

    pthread_mutex_lock(&volume->hint_lock);
    hints->hashes[slot] = hash;
    if (name)
        memcpy(hints->names[slot], name, CSV_NAME_MAX + 1);
    pthread_mutex_unlock(&volume->hint_lock);
}

int64_t
csv_catalog_hint(struct csv_volume *volume, enum csv_kind kind, const char *name)
{
    const struct csv_hints *hints = hints_of(volume, kind);
    uint32_t count = csv_slot_count(&volume->super, kind), hash = name_hash(name);
    int64_t found = -1;

    pthread_mutex_lock(&volume->hint_lock);
    for (uint32_t i = 0; i < count && found < 0; i++)
        if (hints->hashes[i] == hash && strcmp(hints->names[i], name) == 0)
            found = i;
    pthread_mutex_unlock(&volume->hint_lock);
    return found;
}

static int
visit_vm(uint32_t index, const void *buffer, const struct csv_slot *slot, void *data)
{
    struct walk *walk = data;
    struct csv_catalog *catalog = walk->catalog;
    const char *problem;

    see(catalog, &catalog->vm_briefs[index], slot);
    if (catalog->parts & CSV_READ_APART)
        csv_settle_keep(catalog, CSV_KIND_VM, index, buffer, slot);
    if (slot->state == CSV_SLOT_DAMAGED) {
        catalog->vms_damaged++;
        see_damage(catalog, CSV_KIND_VM, index, slot);
    }
    if (slot->state != CSV_SLOT_USED) {
        hint(walk->volume, CSV_KIND_VM, index, NULL);
        return 0;
    }
    problem = csv_vm_decode(csv_slot_block(CSV_KIND_VM, buffer, slot), &slot->head, catalog->super,
                            index, (catalog->parts & CSV_READ_DEFINITIONS) != 0,
                            &catalog->vms[catalog->vm_count]);
    if (problem || csv_late_keep(catalog, CSV_KIND_VM, index, buffer, slot))
        return csv_fail(walk->error, CSV_E_SYS, ENOMEM, "cannot read VM slot %u", index);
    catalog->vm_briefs[index].place = (uint32_t)catalog->vm_count;
    hint(walk->volume, CSV_KIND_VM, index, catalog->vms[catalog->vm_count].vm.name);
    catalog->vm_count++;
    return 0;
}

struct csv_image_record *
csv_catalog_keep(struct csv_catalog *catalog, const struct csv_image_record *record)
{
    size_t bytes = (csv_image_record_bytes(record) + 7) / 8 * 8;
    struct csv_chunk *chunk = catalog->chunks;
    struct csv_image_record *kept;

    if (!chunk || CHUNK_BYTES - chunk->used < bytes) {
        chunk = malloc(sizeof(*chunk));
        if (!chunk)
            return NULL;
        chunk->used = 0;
        chunk->next = catalog->chunks;
        catalog->chunks = chunk;
    }
    kept = (struct csv_image_record *)(chunk->data + chunk->used);
    chunk->used += bytes;
    csv_image_record_copy(kept, record);
    return kept;
}

static int
visit_image(uint32_t index, const void *buffer, const struct csv_slot *slot, void *data)
{
    struct walk *walk = data;
    struct csv_catalog *catalog = walk->catalog;
    struct csv_image_record *kept;

    see(catalog, &catalog->image_briefs[index], slot);
    if (catalog->parts & CSV_READ_APART)
        csv_settle_keep(catalog, CSV_KIND_IMAGE, index, buffer, slot);
    if (slot->state == CSV_SLOT_DAMAGED) {
        catalog->images_damaged++;
        see_damage(catalog, CSV_KIND_IMAGE, index, slot);
    }
    if (slot->state != CSV_SLOT_USED) {
        hint(walk->volume, CSV_KIND_IMAGE, index, NULL);
        return 0;
    }
    (void)csv_image_decode(csv_slot_block(CSV_KIND_IMAGE, buffer, slot), &slot->head,
                           catalog->super, index, &walk->scratch);
    kept = csv_catalog_keep(catalog, &walk->scratch);
    if (!kept || csv_late_keep(catalog, CSV_KIND_IMAGE, index, buffer, slot))
        return csv_fail(walk->error, CSV_E_SYS, ENOMEM, "cannot read the images");
    catalog->images[catalog->image_count++] = kept;
    hint(walk->volume, CSV_KIND_IMAGE, index, walk->scratch.image.name);
    return 0;
}

/* How many VM slots to read first: those ever written, and some more. */
static uint32_t
vms_to_read(struct csv_volume *volume, unsigned parts)
{
    uint32_t count = volume->super.max_vms;

    pthread_mutex_lock(&volume->hint_lock);
    if ((parts & CSV_READ_BRIEFLY) && volume->vm_readings &&
        volume->vm_readings++ % BRIEF_READINGS && volume->vms_touched + 2 * SPARE < count)
        count = volume->vms_touched + 2 * SPARE;
    pthread_mutex_unlock(&volume->hint_lock);
    return count;
}

/*
 * A new VM gets the slot that was changed least: as long as there are slots never written, the
 * first of these (csv_catalog_free_slot()). So they are the last ones, and where SPARE of them
 * follow one another none behind them has a user. Only damage can make that untrue, hence all are
 * read now and then.
 */
static int
read_vms(struct walk *walk)
{
    struct csv_volume *volume = walk->volume;
    const struct csv_brief *briefs = walk->catalog->vm_briefs;
    uint32_t max = volume->super.max_vms, count = vms_to_read(volume, walk->catalog->parts);
    uint32_t touched = count;
    int result = csv_slot_walk_some(volume, CSV_KIND_VM, 0, count, visit_vm, walk, walk->error);

    while (!result && touched > 0 && briefs[touched - 1].state == CSV_SLOT_UNUSED)
        touched--;
    if (!result && count < max && count - touched < SPARE) {
        result = csv_slot_walk_some(volume, CSV_KIND_VM, count, max - count, visit_vm, walk,
                                    walk->error);
        for (touched = count = max; touched > 0 && briefs[touched - 1].state == CSV_SLOT_UNUSED;)
            touched--;
    }
    if (result)
        return result;
    pthread_mutex_lock(&volume->hint_lock);
    volume->vms_touched = touched;
    if (count == max)
        volume->vm_readings = 1;
    pthread_mutex_unlock(&volume->hint_lock);
    return 0;
}

int
csv_catalog_read(struct csv_volume *volume, unsigned parts, struct csv_catalog *catalog,
                 struct csv_error *error)
{
    const struct csv_super *super = &volume->super;
    struct walk walk = {.volume = volume, .catalog = catalog, .error = error};
    int result = 0;

    memset(catalog, 0, sizeof(*catalog));
    catalog->super = super;
    catalog->parts = parts;
    catalog->vm_briefs = calloc(super->max_vms, sizeof(*catalog->vm_briefs));
    catalog->image_briefs = calloc(super->max_images, sizeof(*catalog->image_briefs));
    catalog->vms = calloc(super->max_vms, sizeof(*catalog->vms));
    catalog->images = calloc(super->max_images, sizeof(*catalog->images));
    if (!catalog->vm_briefs || !catalog->image_briefs || !catalog->vms || !catalog->images)
        return csv_fail(error, CSV_E_SYS, ENOMEM, "cannot read the catalogue");
    result = csv_super_refresh(volume, error);
    if (!result && (parts & CSV_READ_VMS))
        result = read_vms(&walk);
    if (!result && (parts & CSV_READ_IMAGES))
        result = csv_slot_walk(volume, CSV_KIND_IMAGE, visit_image, &walk, error);
    return result ? result : csv_late_judge(catalog, error);
}

void
csv_catalog_clear(struct csv_catalog *catalog)
{
    for (size_t i = 0; i < catalog->vm_count; i++)
        free(catalog->vms[i].vm.definition);
    free(catalog->vms);
    free(catalog->images);
    while (catalog->chunks) {
        struct csv_chunk *next = catalog->chunks->next;
        free(catalog->chunks);
        catalog->chunks = next;
    }
    csv_late_clear(catalog);
    csv_settle_clear(catalog);
    free(catalog->vm_briefs);
    free(catalog->image_briefs);
    memset(catalog, 0, sizeof(*catalog));
}

int
csv_catalog_flush(struct csv_volume *volume, struct csv_error *error)
{
    int result = volume->dev->ops->flush(volume->dev);

    return result ? csv_fail(error, CSV_E_IO, -result, "cannot flush volume %s", volume->super.name)
                  : 0;
}

int
csv_catalog_begin(struct csv_volume *volume, const struct csv_epoch *epoch,
                  struct csv_catalog *catalog, struct csv_error *error)
{
    int result;

    pthread_mutex_lock(&volume->catalog_lock);
    result = csv_need_writable(volume, error);
    if (result) {
        memset(catalog, 0, sizeof(*catalog));
        return result;
    }
    result = csv_catalog_read(volume, CSV_READ_ALL | CSV_READ_APART, catalog, error);
    if (!result && csv_epoch_compare(&catalog->epoch, epoch) > 0)
        result = csv_fail(error, CSV_STALE_EPOCH, 0,
                          "a later coordinator (host %u, lease version %llu) has written to volume "
                          "%s; ours is version %llu",
                          catalog->epoch.host_id, (unsigned long long)catalog->epoch.lver,
                          volume->super.name, (unsigned long long)epoch->lver);
    /* what another one wrote last it may not have flushed any more, and the next change may go over
     * the copy that is the only one on the disk */
    if (!result && csv_epoch_compare(&catalog->epoch, epoch) < 0)
        result = csv_catalog_flush(volume, error);
    if (!result)
        result = csv_late_settle(volume, epoch, catalog, error);
    if (!result)
        csv_settle_all(volume, epoch, catalog);
    return result;
}

void
csv_catalog_end(struct csv_volume *volume, struct csv_catalog *catalog)
{
    csv_catalog_clear(catalog);
    pthread_mutex_unlock(&volume->catalog_lock);
}

struct csv_vm_record *
csv_catalog_vm(const struct csv_catalog *catalog, const char *name)
{
    for (size_t i = 0; i < catalog->vm_count; i++)
        if (strcmp(catalog->vms[i].vm.name, name) == 0)
            return &catalog->vms[i];
    return NULL;
}

struct csv_image_record *
csv_catalog_image(const struct csv_catalog *catalog, const char *name)
{
    for (size_t i = 0; i < catalog->image_count; i++)
        if (strcmp(catalog->images[i]->image.name, name) == 0)
            return catalog->images[i];
    return NULL;
}

const struct csv_vm_record *
csv_catalog_owner(const struct csv_catalog *catalog, const struct csv_image_record *record)
{
    const struct csv_vm_record *vm;

    if (record->owner_birth == 0 || catalog->vm_briefs[record->owner_slot].state != CSV_SLOT_USED)
        return NULL;
    vm = &catalog->vms[catalog->vm_briefs[record->owner_slot].place];
    return vm->birth == record->owner_birth ? vm : NULL;
}

int
csv_catalog_owner_known(const struct csv_catalog *catalog, const struct csv_image_record *record,
                        struct csv_error *error)
{
    if (record->owner_birth == 0 ||
        catalog->vm_briefs[record->owner_slot].state != CSV_SLOT_DAMAGED)
        return 0;
    return csv_fail(error, CSV_E_DAMAGED, 0,
                    "image %s may be in use: it was given to the VM in slot %u, which is damaged; "
                    "run csvtool check",
                    record->image.name, record->owner_slot);
}

int
csv_catalog_space(const struct csv_catalog *catalog, struct csv_space *space,
                  struct csv_error *error)
{
    struct csv_extent *claims;
    size_t count = 0, room = 1;
    int result;

    if (catalog->images_damaged)
        return csv_fail(error, CSV_E_DAMAGED, 0,
                        "free space is unknown while %s; run csvtool check", catalog->damage);
    for (size_t i = 0; i < catalog->image_count; i++)
        room += catalog->images[i]->image.extent_count;
    claims = calloc(room, sizeof(*claims));
    if (!claims)
        return csv_fail(error, CSV_E_SYS, ENOMEM, "cannot work out free space");
    for (size_t i = 0; i < catalog->image_count; i++)
        for (uint32_t j = 0; j < catalog->images[i]->image.extent_count; j++)
            claims[count++] = catalog->images[i]->image.extents[j];
    result = csv_space_derive(catalog->super, claims, count, space, error);
    free(claims);
    return result;
}

int64_t
csv_catalog_free_slot(const struct csv_catalog *catalog, enum csv_kind kind)
{
    const struct csv_brief *briefs = csv_catalog_brief(catalog, kind, 0);
    uint32_t count = csv_slot_count(catalog->super, kind);
    int64_t found = -1;

    for (uint32_t i = 0; i < count; i++) {
        if (briefs[i].state != CSV_SLOT_UNUSED && briefs[i].state != CSV_SLOT_FREED)
            continue;
        if (found < 0 || briefs[i].generation < briefs[found].generation)
            found = i;
    }
    return found;
}

int
csv_catalog_unsure(struct csv_volume *volume, int change, const char *name, const char *uuid,
                   int result)
{
    if (!result && csv_catalog_was_unsure(volume, change, name))
        volume->unsure.change = CSV_UNSURE_NONE; /* done by now, and not by that try */
    if (result != CSV_E_IO)
        return result;
    volume->unsure.change = change;
    snprintf(volume->unsure.name, sizeof(volume->unsure.name), "%s", name);
    snprintf(volume->unsure.uuid, sizeof(volume->unsure.uuid), "%s", uuid);
    return result;
}

bool
csv_catalog_was_unsure(const struct csv_volume *volume, int change, const char *name)
{
    return (int)volume->unsure.change == change && strcmp(volume->unsure.name, name) == 0;
}

int
csv_catalog_settle(struct csv_volume *volume, struct csv_error *error)
{
    /* it may be in a cache of the storage's still: the flush may be what had failed */
    int result = csv_catalog_flush(volume, error);

    if (!result)
        volume->unsure.change = CSV_UNSURE_NONE;
    return result;
}
