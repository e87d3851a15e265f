/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* relations.c - setting and checking relations of VMs. */
#include "core/relations.h"

gboolean
mig_relations_set(MigVm *vm, const char *which, char **names)
{
    char ***list = g_str_equal(which, "affinity")        ? &vm->affinity
                   : g_str_equal(which, "anti_affinity") ? &vm->anti_affinity
                   : g_str_equal(which, "start_after")   ? &vm->start_after
                                                         : NULL;

    if (!list)
        return FALSE;
    g_strfreev(*list);
    *list = names;
    return TRUE;
}

static gboolean
names_it(char **names, const char *name)
{
    return names && g_strv_contains((const char *const *)names, name);
}

/* As it is to be: vm itself, not what vms has of it. */
static const MigVm *
find(const MigVm *vm, GPtrArray *vms, const char *name)
{
    if (g_str_equal(vm->name, name))
        return vm;
    for (guint i = 0; i < vms->len; i++) {
        const MigVm *other = g_ptr_array_index(vms, i);

        if (g_str_equal(other->name, name))
            return other;
    }
    return NULL;
}

/* Does whatever 'from' starts after lead back to vm? seen: names that are looked at already. */
static gboolean
leads_back(const MigVm *vm, GPtrArray *vms, const MigVm *from, GHashTable *seen)
{
    for (guint i = 0; from->start_after && from->start_after[i]; i++) {
        const MigVm *next = find(vm, vms, from->start_after[i]);

        if (!next)
            continue;
        if (next == vm)
            return TRUE;
        if (g_hash_table_add(seen, next->name) && leads_back(vm, vms, next, seen))
            return TRUE;
    }
    return FALSE;
}

char *
mig_relations_complaint(const MigVm *vm, GPtrArray *vms)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    if (names_it(vm->affinity, vm->name) || names_it(vm->anti_affinity, vm->name) ||
        names_it(vm->start_after, vm->name))
        return g_strdup_printf("%s is named itself: name other VMs only", vm->name);
    for (guint i = 0; vm->affinity && vm->affinity[i]; i++) {
        const MigVm *other = find(vm, vms, vm->affinity[i]);

        if (names_it(vm->anti_affinity, vm->affinity[i]) ||
            (other && names_it(other->anti_affinity, vm->name)))
            return g_strdup_printf(
                "%s cannot be both with and apart from %s: take one of them back", vm->name,
                vm->affinity[i]);
    }
    for (guint i = 0; vm->anti_affinity && vm->anti_affinity[i]; i++) {
        const MigVm *other = find(vm, vms, vm->anti_affinity[i]);

        if (other && names_it(other->affinity, vm->name))
            return g_strdup_printf("%s cannot be apart from %s, which is to be with it: take that "
                                   "back first",
                                   vm->name, other->name);
    }
    if (leads_back(vm, vms, vm, seen))
        return g_strdup_printf("%s would start after itself, by way of those that it starts after",
                               vm->name);
    return NULL;
}
