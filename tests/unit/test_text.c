/* test_text.c - base/text.h: numbers, sizes, UTF-8, escaping, quoting (read back by a shell),
 * names, signals, base64. */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/text.h"
#include "rnd.h"
#include "tap.h"

#define U64_FAIL UINT64_C(0xfeedfacecafebeef)

static void
u64(const char *s, int want_r, uint64_t want)
{
	uint64_t v = U64_FAIL;

	is_int(text_u64(s, &v), want_r);
	ok(v == (want_r ? U64_FAIL : want));
}

static void
i64(const char *s, int want_r, int64_t want)
{
	int64_t v = 4711;

	is_int(text_i64(s, &v), want_r);
	is_int(v, want_r ? 4711 : want);
}

static void
size(const char *s, int want_r, uint64_t want)
{
	uint64_t v = U64_FAIL;

	is_int(text_size(s, &v), want_r);
	ok(v == (want_r ? U64_FAIL : want));
}

TEST(unsigned_numbers)
{
	u64("0", 0, 0);
	u64("42", 0, 42);
	u64("007", 0, 7);
	u64("18446744073709551615", 0, UINT64_MAX);
	u64("0000000000000000000000000018446744073709551615", 0, UINT64_MAX);
	u64("18446744073709551616", -ERANGE, 0);
	u64("99999999999999999999999999999", -ERANGE, 0);
	u64("99999999999999999999999999999x", -EINVAL, 0);
	for (const char *const *p = (const char *const[]){"", " ", "-1", "+1", "1 ", " 1", "1.0",
							  "0x1", "1e3", "a", "1\n", "١", NULL};
	     *p; p++)
		u64(*p, -EINVAL, 0);
}

TEST(signed_numbers)
{
	i64("0", 0, 0);
	i64("-0", 0, 0);
	i64("-1", 0, -1);
	i64("9223372036854775807", 0, INT64_MAX);
	i64("-9223372036854775808", 0, INT64_MIN);
	i64("9223372036854775808", -ERANGE, 0);
	i64("-9223372036854775809", -ERANGE, 0);
	i64("-99999999999999999999999", -ERANGE, 0);
	for (const char *const *p =
		     (const char *const[]){"", "-", "--1", "+1", "- 1", "1-", "-a", NULL};
	     *p; p++)
		i64(*p, -EINVAL, 0);
}

TEST(sizes)
{
	size("0", 0, 0);
	size("100", 0, 100);
	size("512K", 0, 512 << 10);
	size("64M", 0, 64 << 20);
	size("1G", 0, 1 << 30);
	size("2T", 0, UINT64_C(2) << 40);
	size("16777215T", 0, UINT64_C(16777215) << 40);
	size("16777216T", -ERANGE, 0);
	size("18446744073709551615", 0, UINT64_MAX);
	size("18446744073709551615K", -ERANGE, 0);
	size("18446744073709551616", -ERANGE, 0);
	for (const char *const *p =
		     (const char *const[]){"", "K", "1k", "1KB", "1KiB", "1 K", "-1", "1.5G", "1P",
					   "18446744073709551616x", NULL};
	     *p; p++)
		size(*p, -EINVAL, 0);
}

TEST(size_format)
{
	char buf[32];

	is_str(text_size_format(0, buf, sizeof(buf)), "0");
	is_str(text_size_format(1023, buf, sizeof(buf)), "1023");
	is_str(text_size_format(1024, buf, sizeof(buf)), "1K");
	is_str(text_size_format(1536, buf, sizeof(buf)), "1536");
	is_str(text_size_format(64 << 20, buf, sizeof(buf)), "64M");
	is_str(text_size_format(UINT64_C(1) << 60, buf, sizeof(buf)), "1048576T");
	is_str(text_size_format(UINT64_MAX, buf, sizeof(buf)), "18446744073709551615");
	for (int i = 0; i < 2000; i++) {
		uint64_t v = rnd(1 << 20) << rnd(44), back = 0;

		is_int(text_size(text_size_format(v, buf, sizeof(buf)), &back), 0);
		ok(v == back);
	}
}

/* Encode any number as UTF-8 would, in LEN bytes, allowed or not. */
static void
encode(uint32_t c, size_t len, char *s)
{
	static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};

	for (size_t i = len - 1; i > 0; i--, c >>= 6)
		s[i] = (char)(0x80 | (c & 0x3f));
	s[0] = (char)(lead[len] | c);
}

TEST(utf8_every_code_point)
{
	bool bad = false;

	for (uint32_t c = 0; c < 0x110000; c++) {
		size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
		bool surrogate = c >= 0xd800 && c <= 0xdfff;
		char s[4];

		encode(c, len, s);
		bad |= text_utf8_step(s, len) != (surrogate ? 0 : len);
		bad |= len > 1 && text_utf8_step(s, len - 1) != 0;
	}
	ok(!bad);
}

TEST(utf8_overlong_and_beyond)
{
	char s[4];
	bool bad = false;

	for (uint32_t c = 0; c < 0x80; c++)
		encode(c, 2, s), bad |= text_utf8_step(s, 2) != 0;
	for (uint32_t c = 0; c < 0x800; c++)
		encode(c, 3, s), bad |= text_utf8_step(s, 3) != 0;
	for (uint32_t c = 0; c < 0x10000; c++)
		encode(c, 4, s), bad |= text_utf8_step(s, 4) != 0;
	for (uint32_t c = 0x110000; c < 0x200000; c++)
		encode(c, 4, s), bad |= text_utf8_step(s, 4) != 0;
	for (int c = 0x80; c < 0xc0; c++)
		s[0] = (char)c, bad |= text_utf8_step(s, 1) != 0;
	for (int c = 0xf5; c < 0x100; c++)
		memset(s, 0x80, 4), s[0] = (char)c, bad |= text_utf8_step(s, 4) != 0;
	ok(!bad);
}

TEST(utf8_valid_says_where)
{
	size_t at = 99;

	ok(text_utf8_valid("", 0, &at));
	ok(text_utf8_valid("a\0b", 3, &at));
	ok(text_utf8_valid("plain ascii of some length, then ü€😀", 42, NULL));
	is_int(at, 99);
	ok(!text_utf8_valid("ab\xff", 3, &at));
	is_int(at, 2);
	ok(!text_utf8_valid("0123456789€\xe2\x82", 15, &at));
	is_int(at, 13);
	ok(!text_utf8_valid("\x80", 1, NULL));
	/* A bad byte at each place of strings of each length. */
	for (size_t n = 1; n < 30; n++)
		for (size_t i = 0; i < n; i++) {
			char s[32];

			memset(s, 'a', n);
			s[i] = '\xfe';
			ok(!text_utf8_valid(s, n, &at) && at == i);
		}
}

TEST(utf8_prefix)
{
	is_int(text_utf8_prefix("abc", 3, 5), 3);
	is_int(text_utf8_prefix("abc", 3, 3), 3);
	is_int(text_utf8_prefix("abc", 3, 2), 2);
	is_int(text_utf8_prefix("abc", 3, 0), 0);
	is_int(text_utf8_prefix("a€b", 5, 4), 4);
	is_int(text_utf8_prefix("a€b", 5, 3), 1);
	is_int(text_utf8_prefix("a€b", 5, 2), 1);
	is_int(text_utf8_prefix("a€b", 5, 1), 1);
	is_int(text_utf8_prefix("😀", 4, 3), 0);
	is_int(text_utf8_prefix("😀", 4, 1), 0);
	is_int(text_utf8_prefix("\x80\x80\x80\x80\x80\x80", 6, 5), 5);
}

static const struct {
	const char *in, *want;
} escapes[] = {
	{"", ""},
	{"plain text, 100%", "plain text, 100%"},
	{"a\nb\tc\rd", "a\\nb\\tc\\rd"},
	{"\a\b\v\f", "\\a\\b\\v\\f"},
	{"\x1b[31m", "\\x1b[31m"},
	{"\x01\x1f\x7f", "\\x01\\x1f\\x7f"},
	{"say \"hi\\\"", "say \\\"hi\\\\\\\""},
	{"ü€😀", "ü€😀"},
	{"\xff\xc3", "\\xff\\xc3"},
	{"\xc2\x85\xc2\x9b", "\\u0085\\u009b"},
	{"\xe2\x80\xae", "\\u202e"},
	{"\xe2\x80\xa8\xe2\x80\xa9", "\\u2028\\u2029"},
	{"\xe2\x81\xa6\xe2\x81\xa9", "\\u2066\\u2069"},
	{"\xe2\x80\x8e\xd8\x9c", "\\u200e\\u061c"},
	{"\xc2\xa0", "\xc2\xa0"},
};

TEST(escape)
{
	for (size_t i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++) {
		struct buf b = {0};
		char dst[100];

		ok(text_escape(escapes[i].in, dst, sizeof(dst)) == dst);
		is_str(dst, escapes[i].want);
		is_int(text_escape_buf(&b, escapes[i].in, strlen(escapes[i].in)), 0);
		is_int(buf_putc(&b, '\0'), 0);
		is_str(buf_head(&b), escapes[i].want);
		buf_done(&b);
	}
}

TEST(escape_sentence)
{
	char dst[32];

	is_str(text_escape_sentence("say \"a\\b\"\n\x1b", dst, sizeof(dst)),
	       "say \"a\\b\"\\n\\x1b");
}

TEST(escape_buf_takes_nul_and_bounds)
{
	struct buf b;

	buf_init(&b, 20);
	is_int(text_escape_buf(&b, "a\0b", 3), 0);
	ok(buf_len(&b) == 6 && memcmp(buf_head(&b), "a\\x00b", 6) == 0);
	is_int(text_escape_buf(&b, "\n\n\n\n\n\n\n\n\n\n", 10), -ENOBUFS);
	buf_done(&b);
}

TEST(escape_cuts_at_a_whole_unit)
{
	char dst[100], full[100];

	for (size_t i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++) {
		size_t len = strlen(text_escape(escapes[i].in, full, sizeof(full)));

		for (size_t n = 1; n <= len + 2; n++) {
			memset(dst, 'Z', sizeof(dst));
			text_escape(escapes[i].in, dst, n);
			need(memchr(dst, '\0', n));
			ok(dst[n] == 'Z');
			ok(text_utf8_valid(dst, strlen(dst), NULL));
			if (n > len) {
				is_str(dst, full);
			} else if (n >= 4) {
				size_t kept = strlen(dst) - 3;

				ok(strcmp(dst + kept, "…") == 0);
				ok(memcmp(dst, full, kept) == 0);
			}
		}
	}
	dst[0] = 'Z';
	text_escape("abc", dst, 0);
	ok(dst[0] == 'Z');
	is_str(text_escape("abcdef", dst, 6), "ab…");
	is_str(text_escape("abcdef", dst, 7), "abcdef");
	is_str(text_escape("abcdefgh\n", dst, 10), "abcdef…");
}

static const char *
quoted(const char *s)
{
	static struct buf b;

	buf_clear(&b);
	need(text_shell_quote(&b, s) == 0);
	need(buf_putc(&b, '\0') == 0);
	return buf_head(&b);
}

TEST(shell_quote)
{
	is_str(quoted("plain"), "plain");
	is_str(quoted("/usr/bin/ls"), "/usr/bin/ls");
	is_str(quoted("-x"), "-x");
	is_str(quoted("--foo=bar,1:2@h+%"), "--foo=bar,1:2@h+%");
	is_str(quoted(""), "''");
	is_str(quoted("a b"), "'a b'");
	is_str(quoted("A=b"), "'A=b'");
	is_str(quoted("it's"), "'it'\\''s'");
	is_str(quoted("'"), "''\\'''");
	is_str(quoted("~"), "'~'");
	is_str(quoted("*"), "'*'");
	is_str(quoted("$HOME"), "'$HOME'");
	is_str(quoted("a\nb"), "'a\nb'");
	is_str(quoted("ü"), "'ü'");
}

/* What a shell prints that runs CMD. */
static size_t
run_shell(const char *cmd, char *out, size_t size)
{
	int p[2], status = -1;
	size_t n = 0;
	ssize_t r;
	pid_t pid;

	need(pipe(p) == 0);
	pid = fork();
	need(pid >= 0);
	if (pid == 0) {
		if (dup2(p[1], STDOUT_FILENO) == STDOUT_FILENO)
			execl("/bin/sh", "sh", "-c", cmd, (char *)NULL);
		_exit(127);
	}
	close(p[1]);
	while (n < size && (r = read(p[0], out + n, size - n)) > 0)
		n += (size_t)r;
	close(p[0]);
	need(waitpid(pid, &status, 0) == pid);
	is_int(status, 0);
	return n;
}

/* Whatever the string: a real shell gives it back. */
TEST(shell_quote_read_back)
{
	static const char alphabet[] = "ab' \"\\$`!*?[](){};&|<>~#=%^\n\t-_/.,\xc3\xbc\x01";
	struct buf cmd = {0};
	char words[50][16], got[2048], want[2048];
	size_t n_got, n_want = 0;

	need(buf_puts(&cmd, "printf '%s\\0'") == 0);
	for (size_t i = 0; i < 50; i++) {
		size_t n = rnd(sizeof(words[i]));

		for (size_t k = 0; k < n; k++)
			words[i][k] = alphabet[rnd(sizeof(alphabet) - 1)];
		words[i][n < 15 ? n : 15] = '\0';
		need(buf_putc(&cmd, ' ') == 0 && text_shell_quote(&cmd, words[i]) == 0);
		memcpy(want + n_want, words[i], strlen(words[i]) + 1);
		n_want += strlen(words[i]) + 1;
	}
	need(buf_putc(&cmd, '\0') == 0);
	n_got = run_shell(buf_head(&cmd), got, sizeof(got));
	is_int(n_got, n_want);
	ok(n_got == n_want && memcmp(got, want, n_want) == 0);
	buf_done(&cmd);
}

TEST(class_names)
{
	ok(text_class_name("a"));
	ok(text_class_name("batch-1_x"));
	ok(text_class_name("0123456789abcdef0123456789abcdef"));
	ok(!text_class_name("0123456789abcdef0123456789abcdef0"));
	ok(!text_class_name(""));
	ok(!text_class_name("A"));
	ok(!text_class_name("a b"));
	ok(!text_class_name("a.b"));
	ok(!text_class_name("ü"));
	ok(!text_class_name("a\n"));
	ok(!text_class_name("a/"));
}

TEST(job_names)
{
	char s[200];

	ok(text_job_name("nightly backup (ü€😀)"));
	ok(!text_job_name(""));
	ok(!text_job_name("a\nb"));
	ok(!text_job_name("\x1b"));
	ok(!text_job_name("\x7f"));
	ok(!text_job_name("\xc2\x85"));
	ok(!text_job_name("\xff"));
	ok(text_job_name("\xc2\xa0"));
	memset(s, 'x', sizeof(s));
	s[128] = '\0';
	ok(text_job_name(s));
	s[128] = 'x';
	s[129] = '\0';
	ok(!text_job_name(s));
}

TEST(env_names)
{
	ok(text_env_name("A", 1));
	ok(text_env_name("_a9Z", 4));
	ok(text_env_name("AB=", 2));
	ok(!text_env_name("", 0));
	ok(!text_env_name("9A", 2));
	ok(!text_env_name("A-B", 3));
	ok(!text_env_name("A=B", 3));
	ok(!text_env_name("A\0B", 3));
	ok(!text_env_name("ü", 2));
}

static int
sig(const char *s)
{
	int n = 0;
	int r = text_signal(s, &n);

	return r < 0 ? r : n;
}

TEST(signals)
{
	static const char *const bad[] = {"",
					  "0",
					  "-1",
					  "65",
					  "32",
					  "33",
					  "999999999999999999999",
					  "TERMX",
					  "SIG",
					  "15x",
					  " 15",
					  "TERM ",
					  "RTMIN+",
					  "RTMIN-1",
					  "RTMIN+31",
					  "RTMAX+1",
					  "RTMAX-31",
					  "RTMINX",
					  "RTMIN+x",
					  "SIG15",
					  "UNUSEDX",
					  "RTMIN+1 "};

	is_int(sig("TERM"), SIGTERM);
	is_int(sig("SIGTERM"), SIGTERM);
	is_int(sig("sigterm"), SIGTERM);
	is_int(sig("usr1"), SIGUSR1);
	is_int(sig("SIGUSR1"), SIGUSR1);
	is_int(sig("15"), 15);
	is_int(sig("1"), 1);
	is_int(sig("64"), SIGRTMAX);
	is_int(sig("34"), SIGRTMIN);
	is_int(sig("RTMIN"), SIGRTMIN);
	is_int(sig("RTMIN+3"), SIGRTMIN + 3);
	is_int(sig("SIGRTMIN+30"), SIGRTMAX);
	is_int(sig("RTMAX"), SIGRTMAX);
	is_int(sig("RTMAX-30"), SIGRTMIN);
	is_int(sig("IOT"), SIGABRT);
	is_int(sig("CLD"), SIGCHLD);
	is_int(sig("POLL"), SIGIO);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		is_int(sig(bad[i]), -EINVAL);
}

TEST(signal_names_round_trip)
{
	char buf[16];

	for (int n = 1; n <= SIGRTMAX; n++) {
		text_signal_name(n, buf, sizeof(buf));
		if (n == 32 || n == 33)
			is_int(sig(buf), -EINVAL);
		else
			is_int(sig(buf), n);
		ok(n > 31 || (buf[0] >= 'A' && buf[0] <= 'Z'));
	}
	is_str(text_signal_name(SIGTERM, buf, sizeof(buf)), "TERM");
	is_str(text_signal_name(SIGABRT, buf, sizeof(buf)), "ABRT");
	is_str(text_signal_name(SIGRTMIN + 3, buf, sizeof(buf)), "RTMIN+3");
	is_str(text_signal_name(SIGRTMIN, buf, sizeof(buf)), "RTMIN");
	is_str(text_signal_name(-5, buf, sizeof(buf)), "-5");
	is_str(text_signal_name(999, buf, sizeof(buf)), "999");
}

TEST(base64_strict)
{
	static const char *const bad[] = {
		"A",     "AA",       "AAA",  "A===",     "====",  "AA=A",
		"AAAA=", "AB==",     "AAB=", "AA A",     "AAA\n", "AA==AAAA",
		"A-_A",  "AAA=AAAA", "=AAA", "AAAAA===", "/w==\n"};
	struct buf b = {0};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int r = text_base64_decode(bad[i], strlen(bad[i]), &b);

		if (r != -EINVAL)
			printf("# \"%s\"\n", bad[i]);
		is_int(r, -EINVAL);
		is_int(buf_len(&b), 0);
		is_int(b.failed, 0);
	}
	is_int(text_base64_decode("", 0, &b), 0);
	is_int(buf_len(&b), 0);
	is_int(text_base64_decode("Zm9v", 4, &b), 0);
	is_int(text_base64_decode("Zg==", 4, &b), 0);
	is_int(text_base64_decode("/+8=", 4, &b), 0);
	ok(buf_len(&b) == 6 && memcmp(buf_head(&b), "foof\xff\xef", 6) == 0);
	buf_done(&b);
	buf_init(&b, 2);
	is_int(text_base64_decode("Zm9v", 4, &b), -ENOBUFS);
	buf_done(&b);
}

TEST(format)
{
	char *s = text_format("%s-%d", "a", 5);

	is_str(s, "a-5");
	free(s);
}
