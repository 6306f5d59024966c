/* test_about.c - record/about.h: a socket is the journal here. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal.h"
#include "record/about.h"
#include "record/spec.h"

#define TRACE "0af7651916cd43dd8448eb211c80319c"

static int
journal(void)
{
	int fd = journal_open();
	char id[64];
	struct stat st;

	need(fstat(STDERR_FILENO, &st) == 0);
	snprintf(id, sizeof(id), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", id, 1);
	unsetenv("CTXD_LOG");
	log_set_journal(journal_path);
	log_init("prog");
	need(log_has_fields());
	return fd;
}

static void
env(struct spec *s, const char *const *entries)
{
	for (; *entries; entries++)
		need(strv_add(&s->env, *entries) == 0);
}

#define HEAD(text, prio)                                                                           \
	"MESSAGE=" text "\nPRIORITY=" prio "\nSYSLOG_IDENTIFIER=prog\nCTX_ID=7\nCTX_ATTEMPT=2\n"

TEST(what_a_job_is_called)
{
	struct spec s = {.uid = 1000};
	struct strv about = {0};
	int fd = journal();

	env(&s, (const char *const[]){"PATH=/bin", "CTX_ID=7", "CTX_NAME=brew", "CTX_CLASS=night",
				      "CTX_VALUE_REQUEST=r=17", "CTX_VALUES={}",
				      "TRACEPARENT=00-" TRACE "-b7ad6b7169203331-01", NULL});
	is_int(about_take(&about, &s), 0);
	about_log(LOG_LVL_INFO, &about, "running", "job=%d.%d starts", 7, 2);
	is_str(journal_entry(fd), HEAD("job=7.2 starts", "6") "CTX_STATE=running\nCTX_UID=1000\n"
							      "CTX_NAME=brew\nCTX_CLASS=night\n"
							      "CTX_VALUE_REQUEST=r=17\n"
							      "CTX_TRACE_ID=" TRACE "\n");
	about_log(LOG_LVL_ERR, &about, NULL, "job 7.2: lost");
	ok(!strstr(journal_entry(fd), "CTX_STATE"));
	about_log(LOG_LVL_WARN, NULL, NULL, "job 7.2: nobody's");
	is_str(journal_entry(fd), HEAD("job 7.2: nobody's", "4"));
	about_log(LOG_LVL_DEBUG, &about, "running", "not at this level");
	ok(recv(fd, s.limit, 1, 0) < 0);
	strv_done(&about);
	spec_done(&s);
	close(fd);
}

/* Who wrote the spec has fewer rights than who logs: no field but those that are a job's. */
TEST(what_is_no_field)
{
	struct spec s = {.uid = 0};
	struct strv about = {0};
	static char too_long[120] = "CTX_VALUE_";
	int fd = journal();

	memset(too_long + 10, 'X', 100);
	strcpy(too_long + 110, "=1");
	env(&s, (const char *const[]){"CTX_VALUE_A\nMESSAGE=forged", "CTX_VALUE_b=1", "PRIORITY=0",
				      "CTX_VALUE_X-Y=1", "_PID=1", "CTX_STATE=succeeded",
				      "CTX_CLASSES=x", too_long, "CTX_NAME=two\nMESSAGE=lines",
				      "TRACEPARENT=00-" TRACE "0-b7ad6b7169203331-01",
				      "TRACEPARENT=00-0AF", NULL});
	is_int(about_take(&about, &s), 0);
	about_log(LOG_LVL_INFO, &about, NULL, "job=7.2 x");
	/* A value of two lines has its length before it, see base/journal.h. */
	is_int(memcmp(journal_entry(fd),
		      HEAD("job=7.2 x",
			   "6") "CTX_UID=0\nCTX_NAME\n\x11\0\0\0\0\0\0\0two\nMESSAGE=lines\n",
		      sizeof(HEAD(
			      "job=7.2 x",
			      "6") "CTX_UID=0\nCTX_NAME\n\x11\0\0\0\0\0\0\0two\nMESSAGE=lines\n")),
	       0);
	strv_done(&about);
	spec_done(&s);
	close(fd);
}

TEST(more_than_fit)
{
	struct spec s = {.uid = 1};
	struct strv about = {0};
	int fd = journal();
	char pair[40];

	for (int i = 0; i < 3 * ABOUT_FIELDS; i++) {
		snprintf(pair, sizeof(pair), "CTX_VALUE_V%d=%d", i, i);
		need(strv_add(&s.env, pair) == 0);
	}
	is_int(about_take(&about, &s), 0);
	is_int(about.n, 2 * ABOUT_FIELDS);
	about_log(LOG_LVL_INFO, &about, "running", "job=7.2 x");
	snprintf(pair, sizeof(pair), "\nCTX_VALUE_V%d=", ABOUT_FIELDS - 2);
	ok(strstr(journal_entry(fd), pair));
	strv_done(&about);
	spec_done(&s);
	close(fd);
}

TEST(without_a_journal)
{
	struct spec s = {.uid = 1};
	struct strv about = {0};
	int fd = journal();

	log_set_journal(NULL);
	env(&s, (const char *const[]){"CTX_CLASS=x", NULL});
	is_int(about_take(&about, &s), 0);
	is_int(about.n, 0);
	spec_done(&s);
	close(fd);
}
