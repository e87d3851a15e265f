/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* times.h - this node's settings against the time model (core/timeouts.h): what contradicts itself
 * is refused, at the daemon's start and when a volume is attached. */
#pragma once

#include "base/config.h"
#include "core/timeouts.h"
#include "volumes.h"

MigTimeSettings mig_times_settings(const MigConfig *config);
/* Do these settings contradict themselves? FALSE, MIG_ERROR_CONFIG: they do. */
gboolean mig_times_check(const MigConfig *config, GError **error);
/* The same with this volume, on this host: its io_timeout, and what multipath does here. Blocks. */
gboolean mig_times_check_volume(const MigConfig *config, MigCsv *csv, GError **error);
