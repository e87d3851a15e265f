/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* multipath.h - does this host keep I/O to a LUN waiting when all paths to it are gone? */
#pragma once

#include <glib.h>

/*
 * A LUN behind device-mapper multipath may have "no_path_retry": with no path left, I/O is not
 * failed but queued, for so many checks, or for ever. What is queued longer than a lease lasts
 * cannot be ended with its QEMU, so it has to be known. multipathd knows it, its own table of
 * storage systems included, which no file of this host shows.
 */

/* Seconds, or MIG_QUEUES_* (core/timeouts.h): NOT also for what is no multipath device, UNKNOWN
 * where multipathd cannot be asked. Blocks; runs 'multipathd show'. */
gint64 mig_multipath_queue_s(const char *device);

/* For tests. What 'multipathd show maps format "%n %Q"' says about this map: "off", "on", "-", "12
 * chk" (checks, one every polling_s), "37 sec" (left, of a queue that has begun). */
gint64 mig_multipath_queueing(const char *listing, const char *map, guint polling_s);
/* polling_interval as 'multipathd show config local' tells it; 5, its default, where it does not.
 */
guint mig_multipath_polling_s(const char *config);
