/* test_err.c - base/err.h: what is negative stays so, the hook sees each hop, texts for persons. */
#include <errno.h>

#include "base/err.h"
#include "base/text.h"
#include "tap.h"

static struct {
	int calls, r, line;
	char text[2048], file[256];
	bool no_text;
} seen;

static void
hook(int r, const char *file, int line, const char *text)
{
	seen.calls++;
	seen.r = r;
	seen.line = line;
	seen.no_text = !text;
	snprintf(seen.text, sizeof(seen.text), "%s", text ? text : "");
	snprintf(seen.file, sizeof(seen.file), "%s", file);
	errno = EDOM;
}

static void
listen_anew(void)
{
	memset(&seen, 0, sizeof(seen));
	err_hook_set(hook);
}

TEST(silent_without_hook)
{
	err_hook_set(NULL);
	is_int(err_raise(-EIO, "nobody %s", "hears"), -EIO);
	is_int(err_pass(-EIO), -EIO);
	is_int(err_fold(7), -ENOTRECOVERABLE);
}

TEST(raise_tells_place_and_text)
{
	int line;

	listen_anew();
	errno = ENOENT;
	line = __LINE__ + 1;
	is_int(err_raise(-EPERM, "open '%s': %d", "x", 3), -EPERM);
	is_int(seen.calls, 1);
	is_int(seen.r, -EPERM);
	is_int(seen.line, line);
	is_str(seen.text, "open 'x': 3");
	ok(strstr(seen.file, "test_err.c"));
	is_int(errno, ENOENT);
}

TEST(raise_never_yields_success)
{
	listen_anew();
	is_int(err_raise(0, "errno was zero"), -ENOTRECOVERABLE);
	is_int(err_raise(5, "an outcome"), -ENOTRECOVERABLE);
	is_int(seen.r, -ENOTRECOVERABLE);
}

TEST(raise_cuts_a_long_text)
{
	char big[5000];

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	listen_anew();
	is_int(err_raise(-EIO, "%s", big), -EIO);
	ok(strlen(seen.text) > 500 && strlen(seen.text) < 2000);
}

TEST(pass_hops_without_text)
{
	listen_anew();
	errno = EBUSY;
	is_int(err_pass(-EAGAIN), -EAGAIN);
	is_int(seen.calls, 1);
	ok(seen.no_text);
	is_int(errno, EBUSY);
	is_int(err_pass(0), 0);
	is_int(err_pass(3), 3);
	is_int(seen.calls, 1);
}

TEST(fold_makes_outcomes_negative)
{
	listen_anew();
	is_int(err_fold(0), 0);
	is_int(seen.calls, 0);
	is_int(err_fold(-EIO), -EIO);
	ok(seen.no_text);
	is_int(err_fold(42), -ENOTRECOVERABLE);
	ok(strstr(seen.text, "42"));
}

TEST(ctx_err_fills)
{
	struct ctx_err e = {0};

	errno = EXDEV;
	is_int(ctx_err_set(&e, 12, -EINVAL, "no class '%s'", "a"), -EINVAL);
	is_int(e.code, 12);
	is_str(e.text, "no class 'a'");
	is_int(errno, EXDEV);
	is_int(ctx_err_set(NULL, 1, 5, "unheard"), 5);
	is_int(ctx_err_set(&e, 1, 0, "a\nb\r\nc"), 0);
	is_str(e.text, "a b  c");
}

TEST(ctx_err_cuts_at_a_character)
{
	struct ctx_err e;
	char big[400];

	/* Every length around the bound, every phase of a three-byte character. */
	for (size_t n = 240; n < 300; n++)
		for (size_t lead = 0; lead < 3; lead++) {
			size_t len = lead;

			memset(big, 'a', lead);
			while (len + 3 <= n) {
				memcpy(big + len, "…", 3);
				len += 3;
			}
			big[len] = '\0';
			memset(&e, 'Z', sizeof(e));
			ctx_err_set(&e, 1, -1, "%s", big);
			ok(memchr(e.text, '\0', sizeof(e.text)));
			ok(text_utf8_valid(e.text, strlen(e.text), NULL));
			if (len < sizeof(e.text)) {
				is_str(e.text, big);
			} else {
				ok(strlen(e.text) >= sizeof(e.text) - 6);
				ok(memcmp(e.text + strlen(e.text) - 3, "…", 3) == 0);
			}
		}
}
