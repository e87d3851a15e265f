/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-store-file.c - the journal of jobs: what is saved comes back, what is broken stays. */
#include "drivers/store-file.h"

#include "base/error.h"

#include <glib/gstdio.h>
#include <string.h>

typedef struct {
    char *path;
    MigStoreFile *store;
} Fixture;

static void
set_up(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    f->path = g_dir_make_tmp("journal-XXXXXX", NULL);
    f->store = mig_store_file_new(f->path, 3, &error);
    g_assert_no_error(error);
}

static void
tear_down(Fixture *f, gconstpointer data)
{
    g_autoptr(GDir) directory = g_dir_open(f->path, 0, NULL);
    const char *name;

    while (directory && (name = g_dir_read_name(directory))) {
        g_autofree char *path = g_build_filename(f->path, name, NULL);

        g_remove(path);
    }
    g_rmdir(f->path);
    g_free(f->path);
    mig_store_file_free(f->store);
}

static MigJob *
new_job(const char *id, gint64 started_ms)
{
    MigJob *job = mig_job_new(id);

    job->vm = g_strdup("web");
    job->uuid = g_strdup("5a1f0c3e-6f0c-4d3b-9c59-2f6c8c1f7f11");
    job->volume = g_strdup("vol");
    job->source = g_strdup("A");
    job->target = g_strdup("B");
    job->images = g_strsplit("vol/a vol/b", " ", 0);
    job->started_ms = started_ms;
    mig_job_set_state(job, MIG_JOB_STATE_BEGIN, "asked for", started_ms);
    return job;
}

static void
save(Fixture *f, const MigJob *job)
{
    const MigStore *port = mig_store_file_port(f->store);
    g_autoptr(GError) error = NULL;

    g_assert_true(port->save(port->self, job, &error));
    g_assert_no_error(error);
}

static void
save_ended(Fixture *f, const char *id, gint64 started_ms)
{
    g_autoptr(MigJob) job = new_job(id, started_ms);

    mig_job_set_state(job, MIG_JOB_STATE_FAILED, "refused", started_ms + 5);
    save(f, job);
}

static void
write_file(Fixture *f, const char *name, const char *text, gssize length)
{
    g_autofree char *path = g_build_filename(f->path, name, NULL);

    g_assert_true(g_file_set_contents(path, text, length, NULL));
}

static gboolean
has_file(Fixture *f, const char *name)
{
    g_autofree char *path = g_build_filename(f->path, name, NULL);

    return g_file_test(path, G_FILE_TEST_EXISTS);
}

static void
test_too_late(Fixture *f, gconstpointer data)
{
    g_autoptr(MigJob) job = new_job("A-18", 1000);
    g_autoptr(GPtrArray) jobs = NULL;
    g_autoptr(MigApiJob) message = NULL;

    mig_job_set_state(job, MIG_JOB_STATE_PREPARE, "checked", 1010);
    mig_job_set_state(job, MIG_JOB_STATE_PERFORM, "ready", 1030);
    mig_job_set_state(job, MIG_JOB_STATE_CONFIRM, "through", 1040);
    mig_job_set_state(job, MIG_JOB_STATE_DONE, "there", 1050);
    message = mig_job_to_message(job, 2000);
    g_assert_null(message->message);
    job->cancel_wanted = TRUE;
    save(f, job);
    jobs = mig_store_file_load(f->store);
    g_clear_pointer(&message, mig_ApiJob_free);
    message = mig_job_to_message(g_ptr_array_index(jobs, 0), 2000);
    g_assert_cmpstr(message->message, ==,
                    "cancelled too late: the point of no return was passed; web runs on B");
    g_assert_null(message->error);
    g_assert_cmpstr(message->outcome, ==, "done");
}

/* It runs there, who waited was told so, and its job cleans up still. */
static void
test_arrived(Fixture *f, gconstpointer data)
{
    g_autoptr(MigJob) job = new_job("A-19", 1000);
    g_autoptr(GPtrArray) jobs = NULL;
    const MigJob *back;

    mig_job_set_state(job, MIG_JOB_STATE_PREPARE, "checked", 1010);
    mig_job_set_state(job, MIG_JOB_STATE_PERFORM, "ready", 1030);
    save(f, job);
    jobs = mig_store_file_load(f->store);
    back = g_ptr_array_index(jobs, 0);
    g_assert_false(back->has_arrived || back->is_outrun);
    job->has_arrived = job->is_outrun = TRUE;
    save(f, job);
    g_clear_pointer(&jobs, g_ptr_array_unref);
    jobs = mig_store_file_load(f->store);
    back = g_ptr_array_index(jobs, 0);
    g_assert_true(back->has_arrived && back->is_outrun);
    g_assert_cmpint(back->state, ==, MIG_JOB_STATE_PERFORM);
}

/* As an older daemon has left it: what it did not know was not wanted. */
static void
test_older(Fixture *f, gconstpointer data)
{
    g_autoptr(GPtrArray) jobs = NULL;
    const MigJob *job;

    write_file(
        f, "A-16.json",
        "{\"id\":\"A-16\",\"kind\":\"move\",\"vm\":\"web\",\"uuid\":\"u\",\"volume\":\"vol\","
        "\"source\":\"A\",\"target\":\"B\",\"state\":\"perform\",\"can_postcopy\":true}",
        -1);
    jobs = mig_store_file_load(f->store);
    g_assert_cmpuint(jobs->len, ==, 1);
    job = g_ptr_array_index(jobs, 0);
    g_assert_true(job->can_postcopy);
    g_assert_false(job->postcopy_wanted);
    g_assert_false(job->cancel_wanted);
}

/* Or a newer one, before its package was taken back. */
static void
test_newer(Fixture *f, gconstpointer data)
{
    g_autoptr(GPtrArray) jobs = NULL;

    write_file(
        f, "A-18.json",
        "{\"id\":\"A-18\",\"kind\":\"move\",\"vm\":\"web\",\"uuid\":\"u\",\"volume\":\"vol\","
        "\"source\":\"A\",\"target\":\"B\",\"state\":\"perform\",\"of_tomorrow\":{\"x\":true}}",
        -1);
    jobs = mig_store_file_load(f->store);
    g_assert_cmpuint(jobs->len, ==, 1);
    g_assert_cmpint(((const MigJob *)g_ptr_array_index(jobs, 0))->state, ==, MIG_JOB_STATE_PERFORM);
}

static void
test_round_trip(Fixture *f, gconstpointer data)
{
    g_autoptr(MigJob) job = new_job("A-17", 1000);
    g_autoptr(GPtrArray) jobs = NULL;
    const MigJobPhase *phase;
    const MigCheck *check;
    const MigMoment running = {"running", TRUE, {54000, 56000}}, *moment;

    job->slot = 42;
    job->memory_bytes = (guint64)5 << 30;
    job->bandwidth_bytes_s = 100 << 20;
    job->max_downtime_ms = 250;
    job->policy = MIG_POLICY_GENTLE;
    job->timeout_ms = 600000;
    job->lease_version = 17;
    job->is_encrypted = TRUE;
    job->postcopy_wanted = job->cancel_wanted = TRUE;
    job->progress = (MigProgress){.total_bytes = 1000,
                                  .transferred_bytes = 600,
                                  .remaining_bytes = 400,
                                  .iteration = 3,
                                  .downtime_ms = 12};
    job->blackout_ms = 55;
    job->blackout_within_ms = 2;
    job->first_bytes = 300;
    job->progress.rate_bytes_s = 70;
    job->forecast = (MigForecast){.is_made = TRUE,
                                  .used_bytes = 333,
                                  .dirtied = {1000, 22},
                                  .later = {4000, 44},
                                  .busy_percent = 55,
                                  .has_moved = TRUE,
                                  .expected = {.downtime_ms = {60, 30, 90}, .n_past = 7}};
    g_array_append_val(job->switchover, running);
    job->downtime_limit_ms = 40;
    job->error = g_error_new(MIG_ERROR, MIG_ERROR_TIMEOUT, "too \"slow\"\nby \xc3\xa4 lot");
    g_ptr_array_add(job->checks, mig_check_new("cpu-vendor", MIG_VERDICT_WARN, g_strdup("t"), "a"));
    mig_job_set_state(job, MIG_JOB_STATE_PREPARE, "checked", 1010);
    mig_job_set_state(job, MIG_JOB_STATE_PERFORM, "ready", 1030);
    save(f, job);

    jobs = mig_store_file_load(f->store);
    g_assert_cmpuint(jobs->len, ==, 1);
    const MigJob *back = g_ptr_array_index(jobs, 0);

    g_assert_cmpstr(back->id, ==, "A-17");
    g_assert_cmpint(back->state, ==, MIG_JOB_STATE_PERFORM);
    g_assert_cmpstr(back->vm, ==, job->vm);
    g_assert_cmpstr(back->uuid, ==, job->uuid);
    g_assert_cmpstr(back->volume, ==, "vol");
    g_assert_cmpuint(back->slot, ==, 42);
    g_assert_cmpstr(back->source, ==, "A");
    g_assert_cmpstr(back->target, ==, "B");
    g_assert_cmpuint(back->memory_bytes, ==, job->memory_bytes);
    g_assert_true(
        g_strv_equal((const char *const *)back->images, (const char *const *)job->images));
    /* what a restarted daemon needs to go on */
    g_assert_cmpuint(back->bandwidth_bytes_s, ==, job->bandwidth_bytes_s);
    g_assert_cmpuint(back->max_downtime_ms, ==, 250);
    g_assert_cmpint(back->policy, ==, MIG_POLICY_GENTLE);
    g_assert_cmpuint(back->timeout_ms, ==, 600000);
    g_assert_cmpuint(back->lease_version, ==, 17);
    g_assert_true(back->is_encrypted);
    g_assert_true(back->postcopy_wanted);
    g_assert_true(back->cancel_wanted);
    g_assert_cmpuint(back->progress.remaining_bytes, ==, 400);
    g_assert_cmpint(back->progress.downtime_ms, ==, 12);
    g_assert_cmpint(back->blackout_ms, ==, 55);
    g_assert_cmpint(back->blackout_within_ms, ==, 2);
    /* what is learnt from it, also after a restart */
    g_assert_cmpuint(back->first_bytes, ==, 300);
    g_assert_cmpuint(back->progress.rate_bytes_s, ==, 70);
    g_assert_true(back->forecast.is_made && back->forecast.has_moved);
    g_assert_cmpuint(back->forecast.used_bytes, ==, 333);
    g_assert_cmpuint(back->forecast.dirtied.bytes, ==, 22);
    g_assert_cmpint(back->forecast.dirtied.ms, ==, 1000);
    g_assert_cmpuint(back->forecast.later.bytes, ==, 44);
    g_assert_cmpint(back->forecast.later.ms, ==, 4000);
    g_assert_cmpuint(back->forecast.busy_percent, ==, 55);
    g_assert_cmpint(back->forecast.expected.downtime_ms.most, ==, 90);
    g_assert_cmpuint(back->forecast.expected.n_past, ==, 7);
    g_assert_cmpuint(back->switchover->len, ==, 1);
    moment = &g_array_index(back->switchover, MigMoment, 0);
    g_assert_cmpstr(moment->what, ==, "running");
    g_assert_true(moment->on_target);
    g_assert_cmpint(moment->after.to_us, ==, 56000);
    g_assert_cmpint(back->started_ms, ==, 1000);
    g_assert_error(back->error, MIG_ERROR, MIG_ERROR_TIMEOUT);
    g_assert_cmpstr(back->error->message, ==, job->error->message);
    g_assert_cmpuint(back->phases->len, ==, 3);
    phase = g_ptr_array_index(back->phases, 1);
    g_assert_cmpint(phase->state, ==, MIG_JOB_STATE_PREPARE);
    g_assert_cmpint(phase->took_ms, ==, 20);
    g_assert_cmpstr(phase->why, ==, "checked");
    check = g_ptr_array_index(back->checks, 0);
    g_assert_cmpint(check->verdict, ==, MIG_VERDICT_WARN);
    g_assert_cmpstr(check->advice, ==, "a");
}

/* At every length that a torn file could have, and with every kind of rubbish. */
static void
test_broken(Fixture *f, gconstpointer data)
{
    g_autoptr(MigJob) job = new_job("A-1", 1000);
    g_autofree char *path = g_build_filename(f->path, "A-1.json", NULL);
    g_autofree char *whole = NULL;
    gsize length = 0;
    guint step;

    save(f, job);
    g_assert_true(g_file_get_contents(path, &whole, &length, NULL));
    /* the encoder may close the text with a newline, which nobody misses */
    while (length > 0 && whole[length - 1] == '\n')
        length--;
    step = (guint)MAX(length / 60, 1);
    for (gsize cut = 0; cut < length; cut += step) {
        g_autoptr(GPtrArray) jobs = NULL;

        write_file(f, "A-1.json", whole, (gssize)cut);
        g_test_expect_message("migrated", G_LOG_LEVEL_WARNING,
                              "journal *A-1.json is left alone: *");
        jobs = mig_store_file_load(f->store);
        g_test_assert_expected_messages();
        g_assert_cmpuint(jobs->len, ==, 0);
        g_assert_true(has_file(f, "A-1.json"));
    }
}

static void
test_rubbish(Fixture *f, gconstpointer data)
{
    static const char *const texts[] = {
        "rubbish",
        "[]",
        "{}",
        "null",
        "{\"id\":\"A-1\"}",
        "{\"id\":\"A-1\",\"kind\":\"move\",\"vm\":\"web\",\"state\":\"flying\"}",
        "{\"id\":\"A-1\",\"kind\":\"move\",\"vm\":\"web\",\"state\":\"perform\"}",
        "{\"id\":7,\"kind\":\"move\",\"vm\":\"web\",\"state\":\"perform\"}",
    };
    g_autofree char *big = g_strnfill(300 * 1024, '{');

    for (guint i = 0; i <= G_N_ELEMENTS(texts); i++) {
        g_autoptr(GPtrArray) jobs = NULL;

        write_file(f, "x.json", i < G_N_ELEMENTS(texts) ? texts[i] : big, -1);
        g_test_expect_message("migrated", G_LOG_LEVEL_WARNING, "journal *x.json is left alone: *");
        jobs = mig_store_file_load(f->store);
        g_test_assert_expected_messages();
        g_assert_cmpuint(jobs->len, ==, 0);
        g_assert_true(has_file(f, "x.json"));
    }
}

static void
test_foreign(Fixture *f, gconstpointer data)
{
    g_autoptr(MigJob) job = new_job("A-1", 1000);
    g_autoptr(GPtrArray) jobs = NULL;

    write_file(f, "README", "not ours", -1);
    write_file(f, "A-1.json.tmp", "half a job", -1);
    save(f, job);
    jobs = mig_store_file_load(f->store);
    g_assert_cmpuint(jobs->len, ==, 1);
    g_assert_true(has_file(f, "README"));
}

/* keep is 3: the oldest ended ones go, one that is under way never does. */
static void
test_forgets(Fixture *f, gconstpointer data)
{
    static const char *const left[] = {"A-1", "A-5", "A-6"};
    g_autoptr(MigJob) running = new_job("A-1", 100);
    g_autoptr(GPtrArray) jobs = NULL;

    save(f, running);
    save_ended(f, "A-3", 300);
    save_ended(f, "A-2", 200);
    save_ended(f, "A-6", 600);
    save_ended(f, "A-5", 500);
    save_ended(f, "A-4", 400);
    jobs = mig_store_file_load(f->store);
    g_assert_cmpuint(jobs->len, ==, G_N_ELEMENTS(left));
    for (guint i = 0; i < jobs->len; i++) {
        g_autofree char *name = g_strconcat(left[i], ".json", NULL);

        g_assert_cmpstr(((MigJob *)g_ptr_array_index(jobs, i))->id, ==, left[i]);
        g_assert_true(has_file(f, name));
    }
    g_assert_false(has_file(f, "A-2.json"));
    g_assert_false(has_file(f, "A-3.json"));
    g_assert_false(has_file(f, "A-4.json"));
}

static void
test_cannot_write(Fixture *f, gconstpointer data)
{
    const MigStore *port = mig_store_file_port(f->store);
    g_autoptr(MigJob) job = new_job("A-1", 1000);
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(g_rmdir(f->path), ==, 0);
    g_assert_false(port->save(port->self, job, &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_IO);
}

static void
test_lines(Fixture *f, gconstpointer data)
{
    static const char *const lines[] = {"/dev/sda", "/dev/disk/by-id/b c", NULL};
    g_autofree char *path = g_build_filename(f->path, "attached", NULL);
    g_auto(GStrv) none = mig_store_read_lines(path), back = NULL;

    g_assert_cmpuint(g_strv_length(none), ==, 0);
    g_assert_true(mig_store_write_lines(path, lines, NULL));
    back = mig_store_read_lines(path);
    g_assert_true(g_strv_equal((const char *const *)back, lines));
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(Fixture *f, gconstpointer data);
    } tests[] = {
        {"/store/round-trip", test_round_trip}, {"/store/older", test_older},
        {"/store/newer", test_newer},           {"/store/too-late", test_too_late},
        {"/store/arrived", test_arrived},       {"/store/broken", test_broken},
        {"/store/rubbish", test_rubbish},       {"/store/foreign", test_foreign},
        {"/store/forgets", test_forgets},       {"/store/cannot-write", test_cannot_write},
        {"/store/lines", test_lines},
    };

    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].name, Fixture, NULL, set_up, tests[i].run, tear_down);
    return g_test_run();
}
