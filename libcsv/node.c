/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* node.c - node slots: what each node says about itself, once a second. */

/*
 * A node slot has one writer, so its blocks carry no epoch (all zero) and need no lease. Its two
 * copies are never settled: the next heartbeat does that.
 */

#include "slot.h"

#include "error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAIR (CSV_NODE_BLOCK * CSV_COPIES)

static int
check_host_id(const struct csv_volume *volume, uint32_t host_id, struct csv_error *error)
{
    if (host_id >= 1 && host_id <= volume->super.max_nodes)
        return 0;
    return csv_fail(error, CSV_BAD_VALUE, 0, "host id %u: 1 to %u on volume %s", host_id,
                    volume->super.max_nodes, volume->super.name);
}

/* Writes the slot, whatever it holds now: node NULL frees it. */
static int
write_slot(struct csv_volume *volume, uint32_t host_id, const struct csv_node *node,
           struct csv_error *error)
{
    uint8_t *pair = csv_dev_buffer(PAIR);
    struct csv_head head = {.is_used = node != NULL};
    uint32_t index = host_id - 1;
    struct csv_slot slot;
    int result;

    if (!pair)
        return csv_fail(error, CSV_E_SYS, ENOMEM, "cannot write node slot %u", host_id);
    result = csv_slot_read(volume, CSV_KIND_NODE, index, pair, &slot, error);
    if (!result) {
        memset(pair, 0, PAIR);
        /* a damaged slot is simply written anew: its owner knows all that it has to say */
        head.generation = slot.head.generation + 1;
        if (node)
            head.payload_bytes = csv_node_encode(node, pair);
        result = csv_slot_put(volume, CSV_KIND_NODE, index, &slot, &head, pair, false, error);
    }
    free(pair);
    return result;
}

int
csv_node_write(struct csv_volume *volume, struct csv_node *node, struct csv_error *error)
{
    const char *problem = csv_node_problem(node, &volume->super);
    struct csv_node next = *node;
    int result;

    if (problem)
        return csv_fail(error, CSV_BAD_VALUE, 0, "node %u: %s", node->host_id, problem);
    result = csv_need_writable(volume, error);
    if (result)
        return result;
    next.heartbeat++;
    pthread_mutex_lock(&volume->node_lock);
    result = write_slot(volume, node->host_id, &next, error);
    pthread_mutex_unlock(&volume->node_lock);
    if (result == 0)
        node->heartbeat = next.heartbeat;
    return result;
}

int
csv_node_clear(struct csv_volume *volume, uint32_t host_id, struct csv_error *error)
{
    int result = check_host_id(volume, host_id, error);

    if (!result)
        result = csv_need_writable(volume, error);
    if (result)
        return result;
    pthread_mutex_lock(&volume->node_lock);
    result = write_slot(volume, host_id, NULL, error);
    pthread_mutex_unlock(&volume->node_lock);
    return result;
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
