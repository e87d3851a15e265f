/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* setup.h - a migrated that is in no cluster yet; and starting anew. */
#pragma once

#include "base/config.h"
#include "rpc/server.h"

/*
 * Where the configuration says neither name nor host id, migrated serves two methods of
 * io.migrated, CreateCluster and JoinCluster, and answers all others with NoCluster. When one of
 * the two has written the configuration, migrated starts anew with it: the same process, from its
 * beginning. So nothing of a running daemon ever has to become another node.
 */
void mig_setup_install(MigRpcServer *server, const MigConfig *config, const char *config_path);

/* Ends the main loop in a moment, when the answer of the call that asked for it is on its way;
 * main() then starts the program anew. Any thread. */
void mig_restart_soon(void);
/* main() gives the loop that is to be ended. */
void mig_restart_set_loop(GMainLoop *loop);
gboolean mig_restart_is_wanted(void);
