/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* slot.c - judging, reading and committing slots. */

/*
 * All that atomicity on a volume comes from is here. A change goes to the copy that does not count;
 * the moment its checksum is right on the LUN it counts, and before that it does not. So there is
 * no journal, and nothing to replay.
 */

#include "slot.h"

#include "error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WALK_BYTES (1u << 20) /* whole slots of every kind */
/* A reader holds no lock: while a writer changes a slot and settles the other copy, both can be
 * caught half written, again and again where one changes the same slot without a pause. */
#define DAMAGE_RETRIES  20
#define DAMAGE_PAUSE_NS 5000000

const char *
csv_slot_problem(const struct csv_super *super, enum csv_kind kind, uint32_t index,
                 const void *block, const struct csv_head *head)
{
    union {
        struct csv_node node;
        struct csv_vm_record vm;
        struct csv_image_record image;
    } scratch;

    switch (kind) {
    case CSV_KIND_SUPER:
        return NULL;
    case CSV_KIND_NODE:
        return head->is_used ? csv_node_decode(block, head, super, index, &scratch.node) : NULL;
    case CSV_KIND_VM:
        return csv_vm_decode(block, head, super, index, false, &scratch.vm);
    case CSV_KIND_IMAGE:
        return head->is_used ? csv_image_decode(block, head, super, index, &scratch.image) : NULL;
    }
    return NULL;
}

static int
compare_heads(const struct csv_head *a, const struct csv_head *b)
{
    int order = csv_epoch_compare(&a->epoch, &b->epoch);

    if (order)
        return order;
    return a->generation < b->generation ? -1 : a->generation > b->generation;
}

/* The catalogue's writers settle: both copies are of one generation. A node's copies are of two
 * heartbeats, one after the other, or both of the one that took the slot. */
static bool
is_stale(enum csv_kind kind, const struct csv_head heads[CSV_COPIES], int winner)
{
    uint64_t newer = heads[winner].generation, older = heads[1 - winner].generation;

    if (kind == CSV_KIND_NODE)
        return newer - older > 1;
    return compare_heads(&heads[0], &heads[1]) != 0;
}

static bool
is_torn(enum csv_block result)
{
    return result == CSV_BLOCK_BAD_CRC || result == CSV_BLOCK_TORN;
}

/* Have both copies the same content? Then it is looked at once: after a settled change, always. */
static bool
is_same(enum csv_kind kind, const void *buffer, const struct csv_head heads[CSV_COPIES])
{
    const uint8_t *first = (const uint8_t *)buffer + sizeof(struct csv_disk_header);
    uint32_t bytes = csv_block_bytes(kind);

    return compare_heads(&heads[0], &heads[1]) == 0 && heads[0].is_used == heads[1].is_used &&
           heads[0].payload_bytes == heads[1].payload_bytes &&
           memcmp(first, first + bytes, bytes - sizeof(struct csv_disk_header)) == 0;
}

/* The copy that a generation is committed to, unless the other one is no good. */
static int
committed_to(uint64_t generation)
{
    return (int)((generation + 1) & 1);
}

/* Of two sound ones. Where they are the same, the next change goes over the copy that was settled
 * last: nothing was flushed behind that, so it may be gone when the power is, and the other is not.
 * Which one it is follows from the generation, for whoever comes next does not know it otherwise.
 */
static int
choose(enum csv_kind kind, const struct csv_head heads[CSV_COPIES])
{
    int order = compare_heads(&heads[0], &heads[1]);

    if (order == 0 && kind != CSV_KIND_NODE)
        return 1 - committed_to(heads[0].generation + 1);
    return order >= 0 ? 0 : 1;
}

void
csv_slot_judge(const struct csv_super *super, enum csv_kind kind, uint32_t index,
               const void *buffer, struct csv_slot *slot)
{
    struct csv_head heads[CSV_COPIES] = {{0}};
    uint32_t bytes = csv_block_bytes(kind);
    bool is_sound[CSV_COPIES];

    memset(slot, 0, sizeof(*slot));
    for (int i = 0; i < CSV_COPIES; i++) {
        const uint8_t *block = (const uint8_t *)buffer + (size_t)i * bytes;
        slot->copy[i] = csv_block_check(block, kind, super->uuid,
                                        csv_slot_address(super, kind, index, i), &heads[i]);
        slot->text[i] = csv_block_text(slot->copy[i]);
        is_sound[i] = slot->copy[i] == CSV_BLOCK_OK;
        if (is_sound[i] && !(i && is_sound[0] && is_same(kind, buffer, heads))) {
            const char *problem = csv_slot_problem(super, kind, index, block, &heads[i]);
            if (problem) {
                slot->copy[i] = CSV_BLOCK_BAD_CONTENT;
                slot->text[i] = problem;
                is_sound[i] = false;
            }
        }
    }
    if (is_sound[0] || is_sound[1]) {
        if (is_sound[0] && is_sound[1])
            slot->winner = choose(kind, heads);
        else
            slot->winner = is_sound[0] ? 0 : 1;
        slot->next = 1 - slot->winner;
        slot->head = heads[slot->winner];
        slot->is_stale = is_sound[0] && is_sound[1] && is_stale(kind, heads, slot->winner);
        slot->state = slot->head.is_used ? CSV_SLOT_USED : CSV_SLOT_FREED;
        return;
    }
    /* Copy 0 is written first, so a torn copy 0 over a blank copy 1 is a first write that failed;
     * anything else held something once. */
    slot->winner = -1;
    slot->next = 0;
    if (slot->copy[1] == CSV_BLOCK_BLANK &&
        (slot->copy[0] == CSV_BLOCK_BLANK || is_torn(slot->copy[0])))
        slot->state = CSV_SLOT_UNUSED;
    else
        slot->state = CSV_SLOT_DAMAGED;
}

bool
csv_slot_is_unsettled(const struct csv_slot *slot)
{
    return slot->state == CSV_SLOT_USED &&
           (slot->is_stale ||
            (slot->copy[1 - slot->winner] == CSV_BLOCK_BLANK && slot->head.generation == 1));
}

const void *
csv_slot_block(enum csv_kind kind, const void *buffer, const struct csv_slot *slot)
{
    return (const uint8_t *)buffer + (size_t)slot->winner * csv_block_bytes(kind);
}

static int
read_pair(struct csv_volume *volume, enum csv_kind kind, uint32_t index, void *buffer,
          struct csv_error *error)
{
    struct csv_dev *dev = volume->dev;
    int result = dev->ops->read(dev, csv_slot_address(&volume->super, kind, index, 0), buffer,
                                (size_t)csv_block_bytes(kind) * CSV_COPIES);

    if (result)
        return csv_fail(error, CSV_E_IO, -result, "volume %s: cannot read %s %u",
                        volume->super.name, csv_kind_name(kind), csv_slot_number(kind, index));
    return 0;
}

/* Looks again at a slot that seems damaged. Memory has no other writer to wait for. */
static int
look_again(struct csv_volume *volume, enum csv_kind kind, uint32_t index, void *buffer,
           struct csv_slot *slot, struct csv_error *error)
{
    const struct timespec pause = {.tv_nsec = DAMAGE_PAUSE_NS};

    for (int i = 0; volume->dev->path && i < DAMAGE_RETRIES && slot->state == CSV_SLOT_DAMAGED;
         i++) {
        int result;
        nanosleep(&pause, NULL);
        result = read_pair(volume, kind, index, buffer, error);
        if (result)
            return result;
        csv_slot_judge(&volume->super, kind, index, buffer, slot);
    }
    return 0;
}

int
csv_slot_read(struct csv_volume *volume, enum csv_kind kind, uint32_t index, void *buffer,
              struct csv_slot *slot, struct csv_error *error)
{
    int result = read_pair(volume, kind, index, buffer, error);

    if (result)
        return result;
    csv_slot_judge(&volume->super, kind, index, buffer, slot);
    return look_again(volume, kind, index, buffer, slot, error);
}

struct walk {
    struct csv_volume *volume;
    enum csv_kind kind;
    uint32_t next; /* slot */
    csv_slot_visit visit;
    void *data;
    int result; /* of the last visit */
    struct csv_error *error;
};

static int
walk_piece(void *piece, size_t bytes, void *data)
{
    struct walk *walk = data;
    const uint32_t pair = csv_block_bytes(walk->kind) * CSV_COPIES;

    for (size_t at = 0; at < bytes && !walk->result; at += pair, walk->next++) {
        uint8_t *buffer = (uint8_t *)piece + at;
        struct csv_slot slot;
        csv_slot_judge(&walk->volume->super, walk->kind, walk->next, buffer, &slot);
        walk->result = look_again(walk->volume, walk->kind, walk->next, buffer, &slot, walk->error);
        if (!walk->result)
            walk->result = walk->visit(walk->next, buffer, &slot, walk->data);
    }
    return walk->result;
}

int
csv_slot_walk(struct csv_volume *volume, enum csv_kind kind, csv_slot_visit visit, void *data,
              struct csv_error *error)
{
    return csv_slot_walk_some(volume, kind, 0, csv_slot_count(&volume->super, kind), visit, data,
                              error);
}

int
csv_slot_walk_some(struct csv_volume *volume, enum csv_kind kind, uint32_t first, uint32_t count,
                   csv_slot_visit visit, void *data, struct csv_error *error)
{
    const uint32_t pair = csv_block_bytes(kind) * CSV_COPIES;
    const struct csv_range range = {
        .offset = csv_slot_address(&volume->super, kind, first, 0),
        .bytes = (uint64_t)count * pair,
        .piece_bytes = WALK_BYTES,
    };
    struct walk walk = {.volume = volume,
                        .kind = kind,
                        .next = first,
                        .visit = visit,
                        .data = data,
                        .error = error};
    int result = csv_dev_stream(volume->dev, &range, walk_piece, &walk);

    if (walk.result || !result)
        return walk.result;
    return csv_fail(error, result == -ENOMEM ? CSV_E_SYS : CSV_E_IO, -result,
                    "volume %s: cannot read %ss from %u on", volume->super.name,
                    csv_kind_name(kind), csv_slot_number(kind, walk.next));
}

/* Writes one copy. */
static int
write_copy(struct csv_volume *volume, enum csv_kind kind, uint32_t index, int copy,
           const struct csv_head *head, void *block)
{
    uint64_t address = csv_slot_address(&volume->super, kind, index, copy);

    csv_block_seal(block, kind, volume->super.uuid, address, head);
    return volume->dev->ops->write(volume->dev, address, block, csv_block_bytes(kind));
}

/* Writes one copy and makes sure that it is there. back is a scratch block. */
static int
put_copy(struct csv_volume *volume, enum csv_kind kind, uint32_t index, int copy,
         const struct csv_head *head, void *block, void *back)
{
    struct csv_dev *dev = volume->dev;
    uint64_t address = csv_slot_address(&volume->super, kind, index, copy);
    uint32_t bytes = csv_block_bytes(kind);
    int result = write_copy(volume, kind, index, copy, head, block);

    if (!result)
        result = dev->ops->flush(dev);
    if (!result)
        result = dev->ops->read(dev, address, back, bytes);
    if (!result && memcmp(block, back, bytes) != 0)
        result = -EREMOTEIO;
    return result;
}

int
csv_slot_put(struct csv_volume *volume, enum csv_kind kind, uint32_t index,
             const struct csv_slot *slot, const struct csv_head *head, void *block, bool settle,
             struct csv_error *error)
{
    void *back = csv_dev_buffer(csv_block_bytes(kind));
    int result = back ? put_copy(volume, kind, index, slot->next, head, block, back) : -ENOMEM;

    if (!result && settle && (kind == CSV_KIND_NODE || csv_guard_ask(volume, NULL) == 0)) {
        /* the next change goes over this copy, and its flush is soon enough; where it does not, now
         */
        if (kind != CSV_KIND_NODE && slot->next == committed_to(head->generation))
            (void)write_copy(volume, kind, index, 1 - slot->next, head, block);
        else
            (void)put_copy(volume, kind, index, 1 - slot->next, head, block, back);
    }
    free(back);
    if (result == -EREMOTEIO)
        return csv_fail(error, CSV_E_IO, 0, "volume %s: the LUN did not keep %s %u",
                        volume->super.name, csv_kind_name(kind), csv_slot_number(kind, index));
    return result ? csv_fail(error, CSV_E_IO, -result, "volume %s: cannot write %s %u",
                             volume->super.name, csv_kind_name(kind), csv_slot_number(kind, index))
                  : 0;
}

/* Those of the slot as it is, and the one that changes it now. */
static void
note_request(struct csv_head *head, const struct csv_head *before)
{
    uint8_t request[CSV_UUID_BYTES];

    memcpy(head->requests, before->requests, sizeof(head->requests));
    if (!csv_uuid_parse(head->epoch.request, request) ||
        memcmp(head->requests[0], request, sizeof(request)) == 0)
        return;
    memmove(head->requests[1], head->requests[0], sizeof(head->requests) - sizeof(request));
    memcpy(head->requests[0], request, sizeof(request));
}

int
csv_slot_commit(struct csv_volume *volume, enum csv_kind kind, uint32_t index, uint64_t expected,
                const struct csv_head *head, void *block, struct csv_error *error)
{
    struct csv_head next = *head;
    void *pair = csv_dev_buffer((size_t)csv_block_bytes(kind) * CSV_COPIES);
    struct csv_slot slot;
    int result;

    if (!pair)
        return csv_fail(error, CSV_E_SYS, ENOMEM, "cannot write %s %u", csv_kind_name(kind), index);
    result = csv_slot_read(volume, kind, index, pair, &slot, error);
    if (!result && slot.state == CSV_SLOT_DAMAGED)
        result = csv_fail(error, CSV_E_DAMAGED, 0, "%s %u is damaged: %s; %s", csv_kind_name(kind),
                          index, slot.text[0], slot.text[1]);
    if (!result && csv_epoch_compare(&slot.head.epoch, &head->epoch) > 0)
        result = csv_fail(error, CSV_STALE_EPOCH, 0,
                          "%s %u was written by a later coordinator (host %u)", csv_kind_name(kind),
                          index, slot.head.epoch.host_id);
    if (!result && slot.head.generation != expected)
        result = csv_fail(error, CSV_STALE_EPOCH, 0, "%s %u was changed by somebody else meanwhile",
                          csv_kind_name(kind), index);
    if (!result)
        result = csv_guard_ask(volume, error);
    if (!result) {
        note_request(&next, &slot.head);
        result = csv_slot_put(volume, kind, index, &slot, &next, block, true, error);
    }
    free(pair);
    return result;
}
