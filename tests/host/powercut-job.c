/* powercut-job.c - what a machine of powercut.t runs as its jobs: the witness of a job's begin and
 * end.
 *
 *   job TAG SECONDS CODE     tell on ttyS1 that it began, and the CRC of its standard input; sleep;
 * tell its end; exit CODE job pattern TAG BYTES    the standard input that the job TAG is given
 *
 * What is told is outside of the machine when the call returns: written whole, and drained to the
 * line. It is no file on the disk that is cut off, since the fsync of one file flushes what others
 * forgot to flush. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static uint32_t
crc_add(uint32_t crc, const unsigned char *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ ((crc & 1) ? 0xedb88320u : 0);
	}
	return crc;
}

static uint32_t
crc_of(int fd)
{
	static unsigned char buf[65536];
	uint32_t crc = ~0u;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) != 0) {
		if (n < 0 && errno != EINTR)
			exit(99);
		if (n > 0)
			crc = crc_add(crc, buf, (size_t)n);
	}
	return ~crc;
}

static void
tell(int tty, const char *line, int len)
{
	if (write(tty, line, (size_t)len) != len || tcdrain(tty) < 0)
		exit(98);
}

static int
pattern(const char *tag, long bytes)
{
	size_t len = strlen(tag);

	for (long i = 0; i < bytes; i++)
		if (putchar(tag[(size_t)i % len]) == EOF)
			return 97;
	return fflush(stdout) == EOF ? 97 : 0;
}

int
main(int argc, char **argv)
{
	const char *id = getenv("CTX_ID"), *attempt = getenv("CTX_ATTEMPT");
	struct timespec span;
	char line[256];
	double seconds;
	int tty;

	if (argc == 4 && strcmp(argv[1], "pattern") == 0)
		return pattern(argv[2], strtol(argv[3], NULL, 10));
	if (argc != 4 || !id || !attempt)
		return 96;
	tty = open("/dev/ttyS1", O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (tty < 0)
		return 95;
	tell(tty, line,
	     snprintf(line, sizeof(line), "begin %.20s %.20s %.100s %08x\n", id, attempt, argv[1],
		      crc_of(STDIN_FILENO)));
	seconds = strtod(argv[2], NULL);
	span.tv_sec = (time_t)seconds;
	span.tv_nsec = (long)((seconds - (double)span.tv_sec) * 1e9);
	while (nanosleep(&span, &span) < 0 && errno == EINTR)
		;
	tell(tty, line,
	     snprintf(line, sizeof(line), "end %.20s %.20s %.10s\n", id, attempt, argv[3]));
	return (int)strtol(argv[3], NULL, 10);
}
