/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lab-init.h - what the files of lab-init share: see lab-init.c for the whole. */
#pragma once

/* Prints the message with errno's text (where errno is not 0) and exits with status 1. */
void lab_die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Gives this mount namespace a /dev of its own, so that device links and image devices of machines
 * do not meet. */
void lab_dev_setup(void);

/* Reads the table of services; before the setup, which may hide the file. */
void lab_services_load(const char *table);

/*
 * Runs the services and reaps, forever. One byte is written to `ready_fd`
 * once the control socket (may be NULL) answers; services start on the command "go", when the
 * network is wired.
 */
void lab_services_run(const char *socket_path, int ready_fd) __attribute__((noreturn));
