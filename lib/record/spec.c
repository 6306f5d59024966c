/* spec.c - what to run, as bytes in a sealed memfd, see spec.h.
 *
 *   struct wire      fixed, below; one of version 2 is shorter and knows no limits
 *   groups           n_groups times uint32
 *   cwd              absolute, one NUL at its end
 *   argv, env        strings, each ended by NUL
 *
 * Nothing may be left over, and the reader believes nothing: the writer runs with fewer rights than
 * he. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "record/spec.h"

#define SPEC_MAGIC UINT32_C(0x53585443) /* "CTXS" */
enum {
	SPEC_GROUPS_MAX = 65536,
	RLIMITS_ROOM = 16,
	SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE
};

struct wire {
	uint32_t magic;
	uint16_t version;
	uint16_t head_size;
	uint64_t id;
	uint32_t attempt;
	uint32_t uid, gid;
	uint32_t n_groups;
	uint32_t umask;
	int32_t stop_signal;
	int32_t nice;
	uint32_t out_gid;
	int64_t deadline_ns;
	int64_t grace_ns;
	int64_t limit_ns;
	int64_t warn_ns;
	int64_t watchdog_ns;
	uint64_t out_max;
	uint32_t cwd_size;
	uint32_t argv_size, argv_n;
	uint32_t env_size, env_n;
	int32_t warn_signal;
	/* Since version 3. */
	uint64_t memory_max;
	uint64_t pids_max;
	uint32_t cpu_percent;
	uint32_t io_weight;
	uint32_t rlimits;
	uint32_t pad;                 /* 0 */
	uint64_t limit[RLIMITS_ROOM]; /* 0 where not in rlimits */
};
#define WIRE_SIZE_2 offsetof(struct wire, memory_max)
_Static_assert(WIRE_SIZE_2 == 120, "spec of version 2");
_Static_assert(sizeof(struct wire) == 280, "spec");
_Static_assert((int)SPEC_RLIMITS <= (int)RLIMITS_ROOM, "room for the resource limits");

void
spec_done(struct spec *s)
{
	free(s->groups);
	free(s->cwd);
	strv_done(&s->argv);
	strv_done(&s->env);
	*s = (struct spec){0};
}

static size_t
wire_total(const struct wire *w)
{
	return w->head_size + (size_t)w->n_groups * sizeof(uint32_t) + w->cwd_size +
	       (size_t)w->argv_size + w->env_size;
}

static char *
put(char *to, const void *p, size_t n)
{
	if (n)
		memcpy(to, p, n);
	return to + n;
}

static int
new_memfd(void)
{
	int fd = memfd_create("ctx-spec", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	return fd < 0 ? err_raise(-errno, "memfd for a job's spec") : fd;
}

int
spec_seal(const struct spec *s)
{
	size_t cwd_size = strlen(s->cwd) + 1, size;
	_close_ int fd = -1;
	_free_ char *data = NULL;
	char *p;
	int r;

	if (s->n_groups > SPEC_GROUPS_MAX || cwd_size > SPEC_MAX || s->argv.size > SPEC_MAX ||
	    s->env.size > SPEC_MAX)
		return -E2BIG;
	struct wire w = {
		.magic = SPEC_MAGIC,
		.version = SPEC_VERSION,
		.head_size = sizeof(w),
		.id = s->id,
		.attempt = s->attempt,
		.uid = s->uid,
		.gid = s->gid,
		.n_groups = s->n_groups,
		.umask = s->umask,
		.stop_signal = s->stop_signal,
		.nice = s->nice,
		.out_gid = s->out_gid,
		.deadline_ns = s->deadline_ns,
		.grace_ns = s->grace_ns,
		.limit_ns = s->limit_ns,
		.warn_ns = s->warn_ns,
		.watchdog_ns = s->watchdog_ns,
		.out_max = s->out_max,
		.cwd_size = (uint32_t)cwd_size,
		.argv_size = (uint32_t)s->argv.size,
		.argv_n = (uint32_t)s->argv.n,
		.env_size = (uint32_t)s->env.size,
		.env_n = (uint32_t)s->env.n,
		.warn_signal = s->warn_signal,
		.memory_max = s->memory_max,
		.pids_max = s->pids_max,
		.cpu_percent = s->cpu_percent,
		.io_weight = s->io_weight,
		.rlimits = s->rlimits,
	};
	for (unsigned i = 0; i < SPEC_RLIMITS; i++)
		w.limit[i] = s->rlimits & SPEC_LIMIT_OF(i) ? s->limit[i] : 0;
	size = wire_total(&w);
	if (size > SPEC_MAX)
		return -E2BIG;
	data = malloc(size);
	if (!data)
		return -ENOMEM;
	p = put(data, &w, sizeof(w));
	p = put(p, s->groups, s->n_groups * sizeof(uint32_t));
	p = put(p, s->cwd, cwd_size);
	p = put(p, s->argv.data, s->argv.size);
	(void)put(p, s->env.data, s->env.size);
	fd = new_memfd();
	if (fd < 0)
		return fd;
	r = file_write_full(fd, data, size);
	if (r < 0)
		return err_raise(r, "write a job's spec");
	if (fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		return err_raise(-errno, "seal a job's spec");
	return take_fd(fd);
}

/* Unsealed, its size could change under the reader's feet. */
static int
checked_size(int fd, size_t *ret)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0)
		return errno == EINVAL ? -EPROTO : -errno;
	if ((seals & SEALS) != SEALS)
		return -EPROTO;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < (off_t)WIRE_SIZE_2 || st.st_size > SPEC_MAX)
		return -EPROTO;
	*ret = (size_t)st.st_size;
	return 0;
}

static int
read_all(int fd, char *p, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, p + done, size - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EPROTO;
		done += (size_t)n;
	}
	return 0;
}

static bool
is_signal(int32_t signo)
{
	return signo > 0 && signo < _NSIG;
}

static bool
times_valid(const struct wire *w)
{
	return w->deadline_ns > 0 && w->limit_ns >= w->deadline_ns && w->grace_ns >= 0 &&
	       w->watchdog_ns >= 0 && w->warn_ns >= 0 &&
	       (is_signal(w->warn_signal) || (w->warn_signal == 0 && w->warn_ns == 0));
}

static bool
limits_valid(const struct wire *w)
{
	const uint32_t all = SPEC_LIMIT_OF(SPEC_RLIMITS) - SPEC_LIMIT_OF(0);

	if (w->cpu_percent > SPEC_CPU_MAX || w->io_weight > SPEC_IO_WEIGHT_MAX || w->pad ||
	    w->pids_max > INT32_MAX || w->memory_max > INT64_MAX || w->rlimits & ~all)
		return false;
	for (unsigned i = 0; i < RLIMITS_ROOM; i++) {
		if (w->limit[i] && !(w->rlimits & SPEC_LIMIT_OF(i)))
			return false;
	}
	return true;
}

static bool
wire_valid(const struct wire *w, size_t size)
{
	return limits_valid(w) && w->id > 0 && w->id <= INT64_MAX && w->attempt > 0 &&
	       w->uid != UINT32_MAX && w->gid != UINT32_MAX && w->n_groups <= SPEC_GROUPS_MAX &&
	       w->umask <= 0777 && is_signal(w->stop_signal) && w->nice >= -40 && w->nice <= 40 &&
	       times_valid(w) && wire_total(w) == size;
}

static bool
env_valid(const struct strv *env)
{
	for (const char *s = strv_first(env); s; s = strv_next(env, s)) {
		if (s[0] == '=' || !strchr(s, '='))
			return false;
	}
	return true;
}

static int
parse_strings(const struct wire *w, const char *p, struct spec *s)
{
	int r;

	if (w->cwd_size < 2 || p[0] != '/' || strnlen(p, w->cwd_size) != w->cwd_size - 1)
		return -EPROTO;
	s->cwd = strdup(p);
	if (!s->cwd)
		return -ENOMEM;
	p += w->cwd_size;
	r = strv_from_bytes(&s->argv, p, w->argv_size);
	if (r == 0)
		r = strv_from_bytes(&s->env, p + w->argv_size, w->env_size);
	if (r < 0)
		return r == -EINVAL ? -EPROTO : r;
	if (s->argv.n == 0 || s->argv.n != w->argv_n || s->env.n != w->env_n || !env_valid(&s->env))
		return -EPROTO;
	return 0;
}

/* The fixed part, of this version or the one before: then what that did not know is 0. */
static int
take_wire(const char *data, size_t size, struct wire *ret)
{
	*ret = (struct wire){0};
	memcpy(ret, data, WIRE_SIZE_2);
	if (ret->magic != SPEC_MAGIC)
		return -EPROTO;
	if (ret->version == SPEC_VERSION_FIRST)
		return ret->head_size == WIRE_SIZE_2 ? 0 : -EPROTO;
	if (ret->version != SPEC_VERSION || ret->head_size != sizeof(*ret) || size < sizeof(*ret))
		return -EPROTO;
	memcpy(ret, data, sizeof(*ret));
	return 0;
}

static int
parse(const char *data, size_t size, struct spec *s)
{
	struct wire w;

	if (take_wire(data, size, &w) < 0 || !wire_valid(&w, size))
		return -EPROTO;
	*s = (struct spec){
		.id = w.id,
		.attempt = w.attempt,
		.uid = w.uid,
		.gid = w.gid,
		.n_groups = w.n_groups,
		.umask = w.umask,
		.stop_signal = w.stop_signal,
		.nice = w.nice,
		.deadline_ns = w.deadline_ns,
		.grace_ns = w.grace_ns,
		.limit_ns = w.limit_ns,
		.warn_ns = w.warn_ns,
		.watchdog_ns = w.watchdog_ns,
		.warn_signal = w.warn_signal,
		.out_max = w.out_max,
		.out_gid = w.out_gid,
		.memory_max = w.memory_max,
		.pids_max = w.pids_max,
		.cpu_percent = w.cpu_percent,
		.io_weight = w.io_weight,
		.rlimits = w.rlimits,
	};
	memcpy(s->limit, w.limit, sizeof(s->limit));
	data += w.head_size;
	if (w.n_groups) {
		s->groups = malloc(w.n_groups * sizeof(uint32_t));
		if (!s->groups)
			return -ENOMEM;
		memcpy(s->groups, data, w.n_groups * sizeof(uint32_t));
	}
	return parse_strings(&w, data + w.n_groups * sizeof(uint32_t), s);
}

int
spec_read(int fd, struct spec *ret)
{
	_cleanup_(spec_done) struct spec s = {0};
	_free_ char *data = NULL;
	size_t size = 0;
	int r;

	r = checked_size(fd, &size);
	if (r < 0)
		return r;
	assert(size > 0);
	data = malloc(size);
	if (!data)
		return -ENOMEM;
	r = read_all(fd, data, size);
	if (r < 0)
		return r;
	r = parse(data, size, &s);
	if (r < 0)
		return r;
	*ret = s;
	s = (struct spec){0};
	return 0;
}
