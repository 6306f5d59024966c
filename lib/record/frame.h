/* frame.h - what ctxd, ctx-spawner and monitors say to each other: SOCK_SEQPACKET, one packed
 * little struct a message.
 *
 * All programs run on one machine but not always of one version (a monitor outlives an upgrade), so
 * every frame starts with the same head, sizes are checked to the byte, and a field once shipped
 * never moves. Byte order is the machine's. PROTOCOL.md shows the frames byte by byte; the
 * _Static_asserts below keep it true. */
#ifndef CTX_RECORD_FRAME_H
#define CTX_RECORD_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "record/progress.h"
#include "record/result.h"
#include "record/spec.h"

#define FRAME_MAGIC UINT32_C(0x46585443) /* "CTXF" */
enum { FRAME_VERSION = 1, FRAME_MAX = 16384, FRAME_DIRS_MAX = 1000 };

enum frame_type {
	/* ctxd -> spawner */
	FRAME_CLAIM = 1,  /* first frame: whose run directory this is */
	FRAME_SPAWN = 2,  /* with descriptors, see below */
	FRAME_SWEEP = 3,  /* kill all that is left of this attempt */
	FRAME_FORGET = 4, /* remove its directory and cgroup */
	/* spawner -> ctxd */
	FRAME_WELCOME = 16, /* everything from older connections has been processed */
	FRAME_DIRS = 17, /* job directories found at CLAIM; zero or more of these, then CLAIMED */
	FRAME_CLAIMED = 18,
	FRAME_REFUSED = 19, /* the run directory belongs to another database; connection is closed
			       after it */
	FRAME_SPAWNED = 20,
	FRAME_SPAWN_FAILED = 21, /* look at the evidence: a directory may or may not be there */
	FRAME_SWEPT = 22,
	/* monitor -> ctxd */
	FRAME_HELLO = 32,    /* proves a living monitor; first frame on every connection */
	FRAME_STOPPING = 33, /* TERM went out: deadline, request, or the main process ended and left
				others */
	FRAME_END = 34,      /* the result; the monitor closes after it */
	FRAME_PROGRESS =
		35, /* what the job said; behind HELLO when there is any, then when it changes */
	FRAME_EXTENDED = 36, /* the job moved its own deadline */
	/* ctxd -> monitor */
	FRAME_STOP = 48,
	FRAME_EXTEND = 49, /* new deadline; ignored once stopping */
	FRAME_SIGNAL = 50, /* to the main process or the tree; ignored when there is none */
};

struct frame_head {
	uint32_t magic;
	uint16_t version;
	uint16_t type;
	uint32_t size; /* of the whole frame */
	uint32_t attempt;
	uint64_t id; /* 0 where no job is meant */
};

struct frame_claim {
	struct frame_head head;
	uint8_t uuid[16];  /* of the database */
	uint64_t last_seq; /* highest spawn sequence number ever committed: `seen` starts there if
			      it is missing */
};

/* Descriptors, in this order: spec memfd; monitor's end of a connected SEQPACKET pair; stdin;
 * stdout; stderr. Exactly FRAME_SPAWN_FDS. stdin is /dev/null or a file; stderr may be a duplicate
 * of stdout. */
enum { FRAME_SPAWN_FDS = 5 };
struct frame_spawn {
	struct frame_head head;
	uint64_t seq; /* ever growing over the life of the database */
};

struct frame_plain { /* SWEEP, FORGET */
	struct frame_head head;
};

enum {
	WELCOME_SYSTEM = 1,     /* runs jobs as other uids */
	WELCOME_ALLOW_ROOT = 2, /* --allow-root */
	WELCOME_CGROUP = 4,     /* every job gets a cgroup */
	/* in which the kernel enforces */
	WELCOME_MEMORY = 8,
	WELCOME_CPU = 16,
	WELCOME_PIDS = 32,
	WELCOME_IO = 64,
};
/* The uppermost byte: the newest version of a spec that it reads. */
#define WELCOME_SPEC(version) ((uint32_t)(version) << 24)
struct frame_welcome {
	struct frame_head head;
	uint32_t pid;
	uint32_t flags; /* WELCOME_* */
};

struct frame_dir {
	uint64_t id;
	uint32_t attempt;
	uint32_t pad; /* 0 */
};
struct frame_dirs {
	struct frame_head head;
	uint32_t n; /* 1..FRAME_DIRS_MAX */
	uint32_t pad;
	struct frame_dir dir[]; /* n */
};

struct frame_claimed {
	struct frame_head head;
	uint64_t seen;
};
struct frame_refused {
	struct frame_head head;
	uint8_t uuid[16]; /* of the owner of the run directory */
};

enum { /* neither: none is wanted; or an older spawner, which does not say */
       SPAWNED_CGROUP = 1,
       SPAWNED_NO_CGROUP = 2, /* it was wanted, and could not be made */
};
struct frame_spawned {
	struct frame_head head;
	uint32_t pid; /* of the monitor */
	uint32_t flags;
};

enum spawn_step { /* where SPAWN broke */
		  SPAWN_STEP_FRAME =
			  1,          /* malformed frame, wrong descriptors, root refused (EPERM) */
		  SPAWN_STEP_DIR = 2, /* run directory could not be built: no directory is there */
		  SPAWN_STEP_EXISTS = 3,
		  SPAWN_STEP_SEEN = 4,
		  SPAWN_STEP_CGROUP = 5,
		  SPAWN_STEP_FORK = 6,
		  SPAWN_STEP_MONITOR = 7, /* told by the monitor: it could not make ready */
};
struct frame_spawn_failed {
	struct frame_head head;
	int32_t error; /* errno, positive */
	uint32_t step; /* enum spawn_step */
};

enum { SWEPT_CERTAIN = 1 };
struct frame_swept {
	struct frame_head head;
	uint32_t flags;  /* SWEPT_CERTAIN: nothing of the attempt is alive, provably */
	uint32_t killed; /* processes killed, monitor included */
};

enum monitor_phase {
	PHASE_RUNNING = 1,
	PHASE_STOPPING = 2, /* TERM is out, for a deadline or a request */
	PHASE_KILLING = 3,  /* KILL is out */
	PHASE_EMPTYING = 4, /* the main process ended by itself; leftovers are being stopped */
};
struct frame_hello {
	struct frame_head head;
	uint32_t pid; /* the job's main process; 0: exec failed or not yet */
	uint32_t monitor_pid;
	uint32_t phase;      /* enum monitor_phase */
	uint32_t stop_cause; /* enum stop_cause */
	int64_t started_us;  /* wall */
	int64_t started_ns;  /* CLOCK_BOOTTIME */
	int64_t deadline_ns; /* CLOCK_BOOTTIME, as the monitor holds it now */
	uint32_t flags;      /* HELLO_* */
	uint32_t unenforced; /* SPEC_LIMIT_* bits; an older monitor says 0 */
};
enum {
	HELLO_CAP_UNENFORCED = 1,
	HELLO_SELF_EXTENDED = 2, /* deadline_ns was moved last by the job itself */
};

struct frame_stopping {
	struct frame_head head;
	uint32_t phase;
	uint32_t stop_cause;
	int64_t at_us; /* wall: when TERM (or KILL) went out */
};

enum { STOP_NOW = 1 }; /* KILL at once, no TERM, no grace; also while already stopping */
struct frame_stop {
	struct frame_head head;
	uint32_t flags;
	uint32_t stop_cause; /* STOP_CAUSE_REQUEST or STOP_CAUSE_DEADLINE (ctxd's backstop) */
};

struct frame_extend {
	struct frame_head head;
	int64_t deadline_ns; /* CLOCK_BOOTTIME */
};

struct frame_progress {
	struct frame_head head;
	struct progress progress;
};

struct frame_extended {
	struct frame_head head;
	int64_t deadline_ns; /* CLOCK_BOOTTIME, as it is now */
	int64_t at_us;       /* wall */
};

enum { SIGNAL_TREE = 1 }; /* every process of the job, not the main one alone */
struct frame_signal {
	struct frame_head head;
	int32_t signo; /* 1..64 */
	uint32_t flags;
};

/* From an older monitor its older, shorter result: result_take. */
struct frame_end {
	struct frame_head head;
	struct result result;
};

_Static_assert(sizeof(struct frame_head) == 24, "frame head");
_Static_assert(sizeof(struct frame_claim) == 48, "claim");
_Static_assert(sizeof(struct frame_spawn) == 32, "spawn");
_Static_assert(sizeof(struct frame_hello) == 72, "hello");
_Static_assert(sizeof(struct frame_stop) == 32, "stop");

/* Fill a head for a frame of SIZE bytes. */
void frame_init(void *frame, enum frame_type type, uint64_t id, uint32_t attempt, size_t size);
/* Is the message a well-formed frame of a known type, of exactly the size its type demands? 0,
 * -EPROTO, or -EPROTONOSUPPORT for a newer version or unknown type (skip it). P must be aligned for
 * uint64_t. */
int frame_check(const void *p, size_t size);
const char *frame_type_name(unsigned type);
/* The newest version of a spec that a spawner with FLAGS in its WELCOME reads. An older one, which
 * does not say, reads the first that there was. */
unsigned frame_welcome_spec(uint32_t flags);

#endif
