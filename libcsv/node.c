/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* node.c - node slots: what each node says about itself, once a second. */

/*
 * A node slot has one writer, so its blocks carry no epoch (all zero) and need no lease. A
 * heartbeat writes one copy; the next one writes the other.
 *
 * That writer may be a host that was taken for dead, and a write of it may have been stuck below us
 * for minutes: it lands whenever its path comes back, over whatever is there by then. Nobody can
 * stop it, so it must lose. It is one copy, and its generation is a little above what its host had
 * read. So whenever a slot changes hands (taken, or cleared by another node) both copies are
 * written, and clearing it goes far ahead: whichever copy a late write hits, the other one counts.
 */

#include "slot.h"

#include "error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAIR (CSV_NODE_BLOCK * CSV_COPIES)
/* Twelve days of heartbeats, and too few to ever reach the end of 64 bits. */
#define AHEAD          (1ull << 20)
#define GENERATION_MAX (UINT64_MAX - 1) /* the one after it is refused */

static int
check_host_id(const struct csv_volume *volume, uint32_t host_id, struct csv_error *error)
{
    if (host_id >= 1 && host_id <= volume->super.max_nodes)
        return 0;
    return csv_fail(error, CSV_BAD_VALUE, 0, "host id %u: 1 to %u on volume %s", host_id,
                    volume->super.max_nodes, volume->super.name);
}

/* What is to become of a slot. */
struct change {
    uint32_t host_id;
    const struct csv_node *node; /* NULL: nobody's */
    const char *owner;           /* only if the slot is this node's; NULL: whoever's it is */
    bool is_far;                 /* writes of its owner may be under way */
};

/* A damaged slot counts as its owner's, who knows all that it has to say. */
static bool
is_of(const struct csv_volume *volume, uint32_t index, const void *pair,
      const struct csv_slot *slot, const char *name)
{
    struct csv_node found = {0};

    if (slot->state != CSV_SLOT_USED)
        return slot->state == CSV_SLOT_DAMAGED;
    (void)csv_node_decode(csv_slot_block(CSV_KIND_NODE, pair, slot), &slot->head, &volume->super,
                          index, &found);
    return strcmp(found.name, name) == 0;
}

/* Puts what was made of a slot as it was read. With both the second copy has to land, too. */
static int
put(struct csv_volume *volume, uint32_t index, struct csv_slot *slot, const struct csv_head *head,
    void *block, bool both, struct csv_error *error)
{
    int result = csv_slot_put(volume, CSV_KIND_NODE, index, slot, head, block, false, error);

    if (result || !both)
        return result;
    slot->next = 1 - slot->next;
    return csv_slot_put(volume, CSV_KIND_NODE, index, slot, head, block, false, error);
}

static int
write_slot(struct csv_volume *volume, const struct change *change, struct csv_error *error)
{
    uint8_t *pair = csv_dev_buffer(PAIR);
    struct csv_head head = {.is_used = change->node != NULL};
    uint64_t ahead = change->is_far ? AHEAD : 1;
    uint32_t index = change->host_id - 1;
    struct csv_slot slot;
    bool both;
    int result;

    if (!pair)
        return csv_fail(error, CSV_E_SYS, ENOMEM, "cannot write node slot %u", change->host_id);
    result = csv_slot_read(volume, CSV_KIND_NODE, index, pair, &slot, error);
    /* by the same reading that the generation is from: nothing can come between the two */
    if (!result && change->owner && !is_of(volume, index, pair, &slot, change->owner))
        result = csv_fail(error, CSV_NOT_FOUND, 0, "node slot %u is not that of %s any more",
                          change->host_id, change->owner);
    if (!result) {
        both = change->is_far ||
               (change->node && !is_of(volume, index, pair, &slot, change->node->name));
        head.generation = slot.head.generation + ahead;
        if (slot.head.generation > GENERATION_MAX - ahead) {
            head.generation = 1; /* counts from the second write on: the older copy loses to it */
            both = true;
        }
        memset(pair, 0, PAIR);
        if (change->node)
            head.payload_bytes = csv_node_encode(change->node, pair);
        result = put(volume, index, &slot, &head, pair, both, error);
    }
    free(pair);
    return result;
}

static int
write_node(struct csv_volume *volume, struct csv_node *node, const char *owner,
           struct csv_error *error)
{
    const char *problem = csv_node_problem(node, &volume->super);
    struct csv_node next = *node;
    struct change change = {.host_id = node->host_id, .node = &next, .owner = owner};
    int result;

    if (problem)
        return csv_fail(error, CSV_BAD_VALUE, 0, "node %u: %s", node->host_id, problem);
    result = csv_need_writable(volume, error);
    if (result)
        return result;
    next.heartbeat++;
    pthread_mutex_lock(&volume->node_lock);
    result = write_slot(volume, &change, error);
    pthread_mutex_unlock(&volume->node_lock);
    if (result == 0)
        node->heartbeat = next.heartbeat;
    return result;
}

int
csv_node_write(struct csv_volume *volume, struct csv_node *node, struct csv_error *error)
{
    return write_node(volume, node, NULL, error);
}

int
csv_node_beat(struct csv_volume *volume, struct csv_node *node, struct csv_error *error)
{
    return write_node(volume, node, node->name, error);
}

static int
free_slot(struct csv_volume *volume, const struct change *change, struct csv_error *error)
{
    int result = check_host_id(volume, change->host_id, error);

    if (!result)
        result = csv_need_writable(volume, error);
    if (result)
        return result;
    pthread_mutex_lock(&volume->node_lock);
    result = write_slot(volume, change, error);
    pthread_mutex_unlock(&volume->node_lock);
    return result;
}

int
csv_node_leave(struct csv_volume *volume, uint32_t host_id, const char *name,
               struct csv_error *error)
{
    struct change change = {.host_id = host_id, .owner = name};

    return free_slot(volume, &change, error);
}

int
csv_node_clear(struct csv_volume *volume, uint32_t host_id, struct csv_error *error)
{
    struct change change = {.host_id = host_id, .is_far = true};

    return free_slot(volume, &change, error);
}

int
csv_node_read(struct csv_volume *volume, uint32_t host_id, struct csv_node *node,
              struct csv_error *error)
{
    struct csv_slot slot;
    uint8_t *pair;
    int result = check_host_id(volume, host_id, error);

    if (result)
        return result;
    pair = csv_dev_buffer(PAIR);
    if (!pair)
        return csv_fail(error, CSV_E_SYS, ENOMEM, "cannot read node slot %u", host_id);
    result = csv_slot_read(volume, CSV_KIND_NODE, host_id - 1, pair, &slot, error);
    if (!result && slot.state == CSV_SLOT_DAMAGED)
        result = csv_fail(error, CSV_E_DAMAGED, 0, "node slot %u is damaged: %s; %s", host_id,
                          slot.text[0], slot.text[1]);
    else if (!result && slot.state != CSV_SLOT_USED)
        result = csv_fail(error, CSV_NOT_FOUND, 0, "no node has host id %u on volume %s", host_id,
                          volume->super.name);
    else if (!result)
        (void)csv_node_decode(csv_slot_block(CSV_KIND_NODE, pair, &slot), &slot.head,
                              &volume->super, host_id - 1, node);
    free(pair);
    return result;
}

struct list {
    const struct csv_super *super;
    struct csv_node *nodes;
    size_t count, damaged;
};

static int
visit(uint32_t index, const void *buffer, const struct csv_slot *slot, void *data)
{
    struct list *list = data;

    if (slot->state == CSV_SLOT_DAMAGED)
        list->damaged++;
    if (slot->state == CSV_SLOT_USED)
        (void)csv_node_decode(csv_slot_block(CSV_KIND_NODE, buffer, slot), &slot->head, list->super,
                              index, &list->nodes[list->count++]);
    return 0;
}

int
csv_node_list(struct csv_volume *volume, struct csv_node **nodes, size_t *count, size_t *damaged,
              struct csv_error *error)
{
    struct list list = {.super = &volume->super};
    int result;

    list.nodes = calloc(volume->super.max_nodes, sizeof(*list.nodes));
    if (!list.nodes)
        return csv_fail(error, CSV_E_SYS, ENOMEM, "cannot list nodes");
    result = csv_slot_walk(volume, CSV_KIND_NODE, visit, &list, error);
    if (result) {
        free(list.nodes);
        return result;
    }
    *nodes = list.nodes;
    *count = list.count;
    if (damaged)
        *damaged = list.damaged;
    return 0;
}
