/* forward.h - the output of jobs goes on to the journal, line by line, as [output] to says.
 *
 * A job writes into its files, and needs nobody for that. What is here reads the files behind it
 * and sends what it finds; nothing of it exists while no job wants it. The row of the attempt
 * (store forward) says from which byte on a ctxd that was killed goes on: so a line may be sent
 * twice, with the same CTX_OFFSET, and none is left out. Files go when the journal has read all of
 * them.
 *
 * In memory are the jobs that run, and some of those that are over; the others wait in the
 * database. Attempts of one job are sent one after the other. */
#ifndef CTXD_ENGINE_FORWARD_H
#define CTXD_ENGINE_FORWARD_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "exec/follow.h"
#include "store/store.h"

struct engine;
struct forward;
struct job;

struct forward_stream {
	uint64_t sent; /* bytes of the file that were sent */
	uint64_t safe; /* of these the journal has so many */
	uint32_t round;
	bool held; /* a line without its end lies there */
	uint64_t held_end;
	int64_t held_ns; /* mono: since when it has not grown */
};

struct forward_job {
	uint32_t magic;
	struct map_node node; /* in forward->jobs, by id */
	struct forward *forward;
	struct list link;             /* in forward->ready, changed, finished, or none */
	struct list unsure;           /* in forward->unsure: some was sent that may be unread */
	struct follow_watch watch[2]; /* while there is nothing to send */
	uint64_t id;
	uint32_t attempt;
	bool keep;      /* the files stay */
	bool split;     /* stderr has a file of its own */
	bool over;      /* the attempt is */
	bool all_sent;  /* of an attempt that is over */
	bool dirty;     /* the places in its row are behind */
	bool unwritten; /* it was cut off: nothing of it is sent until its row says so */
	struct forward_stream stream[2];
};

struct forward {
	struct engine *engine;
	struct journal_link *link; /* owned */
	struct follow *follow;     /* owned */
	struct map jobs;
	struct list ready;   /* there may be something to send */
	struct list changed; /* they are in a moment */
	struct list unsure;
	struct list finished; /* the journal has all of it: its row is to say so */
	bool blocked;         /* the journal takes nothing now */
	bool finishing;       /* FINISHED is being written */
	int64_t unsure_ns;    /* mono: since when some is unsure */
	size_t n_over;
	bool more;       /* the database may know more jobs than JOBS */
	uint64_t cursor; /* they were looked for up to there */
	ev_idle idle;    /* there is something to do, and nothing else */
	ev_timer turn;   /* and when there always is something else */
	ev_timer tick;   /* changed, unsure, finished */
	double tick_after;
	ev_timer slow; /* places, lines without an end */
	unsigned slow_n;
	struct log_rate rate;
	char *piece;       /* owned, FORWARD_PIECE bytes */
	char store_id[33]; /* of the database: ids are its own */
};

enum {
	FORWARD_PIECE = 64 << 10, /* bytes of a file in one turn */
	FORWARD_LINE = 48 << 10,  /* longer lines are cut */
	FORWARD_OVER_MAX = 1000,  /* jobs that are over in memory */
};
#define FORWARD_TICK_SEC 0.02 /* from a change of a file to its turn */

/* ---- forward.c, and two of forward_place.c: for the rest of the engine */
/* At the start, after the jobs that run are known; what is still to be sent is looked for. */
int forward_load(struct engine *g);
struct forward *forward_free(struct forward *f); /* NULL is legal; returns NULL */
/* In the transaction in which J is started: its row, if its output is to go to the journal. */
int forward_row(struct engine *g, const struct job *j);
void forward_started(struct engine *g, const struct job *j); /* after that; has no effect twice */
/* In the transaction of the end of ID's attempt: its places, if they have moved. */
int forward_ending(struct engine *g, uint64_t id);
void forward_over(struct engine *g, uint64_t id, uint32_t attempt); /* after that */
/* After the commit that took the output, or the record, of ID away. */
void forward_forget(struct engine *g, uint64_t id);
/* All places, in the open transaction or a new one. */
void forward_save(struct engine *g);
void forward_policy(struct engine *g); /* the configuration was read */
/* Does the journal take what there is? *RET_WAITING: attempts not all of whose output it has. */
bool forward_ok(struct engine *g, uint64_t *ret_waiting);

/* ---- forward_jobs.c */
struct forward_job *forward_find(const struct forward *f, uint64_t id); /* F may be NULL */
/* Follow the attempt of ROW from where that says, as a job that is not in memory. 0 or -ENOMEM. */
int forward_remember(struct forward *f, const struct store_forward *row, bool over);
/* The same for one that is. */
void forward_take(struct forward_job *e, const struct store_forward *row, bool over);
void forward_drop(struct forward_job *e); /* out of memory */
void forward_set_over(struct forward_job *e, bool over);
/* Is the attempt of ROW over, or its job gone? Or negative errno. */
int forward_is_over(const struct forward *f, const struct store_forward *row);
void forward_unwatch(struct forward_job *e);
void forward_wake(struct forward_job *e); /* ready in a moment, if it is not already */
void forward_ready(struct forward *f, struct forward_job *e);
void
forward_load_some(struct forward *f); /* of those that wait in the database, if there is room */
void forward_look_again(struct forward *f); /* some may be known to the database alone */

/* ---- forward_place.c */
void forward_unsure(struct forward *f, struct forward_job *e); /* E is about to send */
void forward_sure(struct forward_job *e);                      /* it may have sent nothing */
void forward_confirm(struct forward *f); /* if the journal has read all that was sent */
void forward_lost(void *forward);        /* the journal is gone, and with it what it had not read */
/* The journal has all of E: that is written down soon, by forward_finish_some. */
void forward_finished(struct forward *f, struct forward_job *e);
void forward_finish_some(struct forward *f);
/* E was cut off by its job: its row is to say so before anything else of it is sent. */
void forward_write_round(struct forward *f, struct forward_job *e);

/* ---- forward_run.c */
void forward_run_init(struct forward *f);
void forward_run_done(struct forward *f);
void forward_arm(struct forward *f);  /* there may be something to do, or nothing any more */
void forward_tick(struct forward *f); /* the same for what is to be done in a moment */
void forward_again(void *forward);    /* the journal may take something again */

/* ---- forward_turn.c */
enum forward_turn {
	FORWARD_MORE = 1, /* there may be more at once */
	FORWARD_IDLE,     /* all that is there was sent */
	FORWARD_BLOCKED,  /* the journal takes nothing now */
	FORWARD_ALL,      /* all there will ever be was sent */
	FORWARD_GONE,     /* it cannot be read (now), or there is no such job any more */
};
const char *forward_stream_name(const struct job *j, bool err); /* as in CTX_STREAM */
/* Send a piece of what E has. */
enum forward_turn forward_turn(struct forward *f, struct forward_job *e);
/* Watch the files of E, of which all was sent. True: there is more already. */
bool forward_watch(struct forward *f, struct forward_job *e);

#endif
