/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tables.h - the lists that "status" and the "list" commands have in common. */
#pragma once

#include <glib.h>

/* Arrays of MigApiNode, MigApiVolume, MigApiImage, MigApiVm, MigApiJob. */
void mig_print_nodes(GPtrArray *nodes);
void mig_print_volumes(GPtrArray *volumes);
void mig_print_images(GPtrArray *images);
void mig_print_vms(GPtrArray *vms);
void mig_print_jobs(GPtrArray *jobs, gboolean running_only);
guint mig_count_running_jobs(GPtrArray *jobs);
