/* test_log.c - base/log.h: stderr is a memory file here; what was written is looked at. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "journal.h"

static int mem = -1, real_stderr = -1;

/* Catch stderr from here on; LEVEL is CTXD_LOG, JOURNAL whether JOURNAL_STREAM names what we catch
 * into. */
static void catch (const char *level, bool journal)
{
	struct stat st;
	char id[64];

	if (mem < 0) {
		mem = memfd_create("stderr", MFD_CLOEXEC);
		real_stderr = dup(STDERR_FILENO);
	}
	need(mem >= 0 && ftruncate(mem, 0) == 0 && lseek(mem, 0, SEEK_SET) == 0);
	need(dup2(mem, STDERR_FILENO) == STDERR_FILENO);
	if (level)
		setenv("CTXD_LOG", level, 1);
	else
		unsetenv("CTXD_LOG");
	need(fstat(mem, &st) == 0);
	snprintf(id, sizeof(id), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino + !journal);
	setenv("JOURNAL_STREAM", id, 1);
	log_set_journal("/nonexistent/journal"); /* lines go to stderr then */
	log_init("prog");
}

static const char *
caught(void)
{
	static char text[100000];
	ssize_t n = pread(mem, text, sizeof(text) - 1, 0);

	dup2(real_stderr, STDERR_FILENO);
	need(n >= 0);
	text[n] = '\0';
	return text;
}

static void
all_levels(void)
{
	log_err("e %d", 1);
	log_warn("w");
	log_notice("n");
	log_info("i");
	log_debug("d");
}

TEST(name_in_front)
{
	catch (NULL, false);
	all_levels();
	is_str(caught(), "prog: e 1\nprog: w\nprog: n\nprog: i\n");
}

TEST(priorities_for_the_journal)
{
	catch ("debug", true);
	all_levels();
	is_str(caught(), "<3>e 1\n<4>w\n<5>n\n<6>i\n<7>d\n");
}

TEST(no_journal_variable)
{
	catch (NULL, false);
	unsetenv("JOURNAL_STREAM");
	log_init("prog");
	log_err("x");
	is_str(caught(), "prog: x\n");
	catch (NULL, false);
	setenv("JOURNAL_STREAM", "garbage", 1);
	log_init("prog");
	log_err("x");
	is_str(caught(), "prog: x\n");
}

TEST(levels)
{
	catch ("err", false);
	all_levels();
	is_str(caught(), "prog: e 1\n");
	ok(log_enabled(LOG_LVL_ERR) && !log_enabled(LOG_LVL_WARN));
	catch ("warn", false);
	all_levels();
	is_str(caught(), "prog: e 1\nprog: w\n");
	catch ("nonsense", false);
	ok(log_enabled(LOG_LVL_INFO) && !log_enabled(LOG_LVL_DEBUG));
	(void)caught();
}

TEST(one_line_whatever_the_text)
{
	catch (NULL, false);
	log_info("a\nb\r\nc\x1b[0m\td");
	is_str(caught(), "prog: a b  c [0m\td\n");
	catch (NULL, true);
	log_info("x\n<0>forged");
	is_str(caught(), "<6>x <0>forged\n");
	catch (NULL, false);
	log_info("%s", "");
	is_str(caught(), "prog: \n");
}

TEST(long_lines_are_cut_at_a_character)
{
	static char big[10000];

	for (size_t lead = 0; lead < 3; lead++)
		for (size_t want = 4060; want < 4110; want++) {
			size_t n = lead;
			const char *got;

			memset(big, 'a', lead);
			for (; n + 3 <= want; n += 3)
				memcpy(big + n, "…", 3);
			big[n] = '\0';
			catch (NULL, false);
			log_info("%s", big);
			got = caught();
			n = strlen(got);
			ok(n <= 4096 && got[n - 1] == '\n' && strchr(got, '\n') == got + n - 1);
			ok(text_utf8_valid(got, n, NULL));
			ok(n >= 4050);
		}
	memset(big, 'x', sizeof(big) - 1);
	catch (NULL, false);
	log_info("%s", big);
	is_int(strlen(caught()), 4096);
}

TEST(errno_is_kept_and_printed)
{
	catch (NULL, false);
	errno = ENOENT;
	log_err("open: %m");
	is_int(errno, ENOENT);
	is_str(caught(), "prog: open: No such file or directory\n");
	catch (NULL, false);
	close(STDERR_FILENO);
	errno = ENOENT;
	log_err("nobody hears");
	is_int(errno, ENOENT);
	(void)caught();
}

TEST(error_traces_are_debug)
{
	catch ("info", false);
	(void)err_raise(-EIO, "reading");
	(void)err_pass(-EIO);
	is_str(caught(), "");
	catch ("debug", false);
	(void)err_raise(-EIO, "reading '%s'", "x");
	(void)err_pass(-EIO);
	ok(strstr(caught(), "prog: reading 'x' (Input/output error) at "));
	catch ("debug", false);
	(void)err_pass(-ENOENT);
	ok(strstr(caught(), "passed on (No such file or directory) at "));
	err_hook_set(NULL);
}

TEST(entries_of_the_journal)
{
	static const char value[] = "two\nlines",
			  with_length[] = "MESSAGE=job=42 running\nPRIORITY=6\n"
					  "SYSLOG_IDENTIFIER=prog\nCTX_ID=42\nCTX_STATE=running\n"
					  "CTX_VALUE_X\n\x09\0\0\0\0\0\0\0two\nlines\n";
	const struct log_field f[] = {{"CTX_STATE", "running", 7}, {"CTX_VALUE_X", value, 9}};
	static char big[JOURNAL_ENTRY_MAX];
	const struct log_field many[] = {
		{"CTX_ID", "9", 1}, {"BIG", big, sizeof(big)}, {"LAST", "", 0}};
	int fd = journal_open();

	memset(big, 'x', sizeof(big));
	catch ("info", true);
	log_set_journal(journal_path);
	ok(log_has_fields());
	log_warn("job=12.3 a\nb");
	log_info("job 7: x");
	log_info("job=x");
	log_fields(LOG_LVL_INFO, f, 2, "job=%d %s", 42, "running");
	log_fields(LOG_LVL_ERR, many, 3, "job=8");
	log_debug("not at this level");
	is_str(journal_entry(fd),
	       "MESSAGE=job=12.3 a "
	       "b\nPRIORITY=4\nSYSLOG_IDENTIFIER=prog\nCTX_ID=12\nCTX_ATTEMPT=3\n");
	is_str(journal_entry(fd),
	       "MESSAGE=job 7: x\nPRIORITY=6\nSYSLOG_IDENTIFIER=prog\nCTX_ID=7\n");
	is_str(journal_entry(fd), "MESSAGE=job=x\nPRIORITY=6\nSYSLOG_IDENTIFIER=prog\n");
	is_int(memcmp(journal_entry(fd), with_length, sizeof(with_length) - 1), 0);
	is_str(journal_entry(fd),
	       "MESSAGE=job=8\nPRIORITY=3\nSYSLOG_IDENTIFIER=prog\nCTX_ID=9\nLAST=\n");
	ok(recv(fd, big, 1, 0) < 0);
	is_str(caught(), "");
	/* A journal that is gone, or takes nothing more, loses no line. */
	catch ("info", true);
	log_set_journal(journal_path);
	for (int i = 0; i < 1000; i++)
		log_info("full");
	ok(strstr(caught(), "<6>full\n"));
	close(fd);
	catch ("info", true);
	log_set_journal(journal_path);
	log_info("gone");
	log_set_journal(NULL);
	ok(!log_has_fields());
	log_info("not wanted");
	is_str(caught(), "<6>gone\n<6>not wanted\n");
	unlink(journal_path);
}

TEST(rate)
{
	struct log_rate r = {0};
	int passed = 0;

	catch (NULL, false);
	for (int i = 0; i < 100; i++)
		passed += log_rate_ok(&r, 7);
	is_int(passed, 7);
	is_int(r.dropped, 93);
	is_str(caught(), "");
	/* The window passes: said once, and counting begins anew. */
	catch (NULL, false);
	r.window_ns -= 10 * NSEC_PER_SEC;
	ok(log_rate_ok(&r, 7));
	ok(strstr(caught(), "93 "));
	catch (NULL, false);
	r.window_ns -= 10 * NSEC_PER_SEC;
	ok(log_rate_ok(&r, 7));
	is_str(caught(), "");
	ok(!log_rate_ok(&r, 0));
}
