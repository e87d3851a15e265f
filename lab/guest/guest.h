/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* guest.h - what the parts of lab-guest offer one another: see main.c for the whole. */
#pragma once

#include <stdint.h>
#include <stdio.h>

#define GUEST_PORT_ECHO 7
#define GUEST_PORT_HTTP 80
#define GUEST_PORT_ACKS 9000

/* Facts of this boot, filled in once at start. */
struct guest_facts {
    char name[64];
    char boot_id_text[40];
    uint8_t boot_id[16];
};
extern struct guest_facts guest_facts;

uint64_t guest_monotonic_ns(void);
uint64_t guest_wall_ns(void);
/* Starts a detached thread. */
void guest_thread(void *(*fn)(void *), void *arg);
/* Opens a listening (TCP) or bound (UDP) socket on the port of every address; -1 on failure, said
 * on the console. */
int guest_listen(int type, int port);

/* The guest switches itself off, a moment later. */
void guest_power_off(void);

/* net.c: address from the MAC, link up, UDP echo. */
void net_start(void);

/* http.c */
void http_start(void);

/* dirtier.c: rate in MiB/s over a working set in MiB; 0 stops. 0, or -1 when the memory is not
 * there. */
int dirtier_set(double rate, unsigned set_mib);
void dirtier_stats(FILE *out);

/* marker.c: a mebibyte of memory full of this text; 0, or -1 when it is not there. */
int marker_set(const char *text);

/* writer.c: records per second, 0 stops. */
void writer_start(void);
void writer_set(double rate);
void writer_stats(FILE *out);
/* Judges the ring while the writer pauses; findings go to `out`. Number of findings, or -1. */
int writer_verify(FILE *out);
/* Ends writing for good, after the record under way. */
void writer_shutdown(void);
