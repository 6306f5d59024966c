/* store_db.h - inside of the store: the connection, its prepared statements, errors. For
 * daemon/store only. */
#ifndef CTXD_STORE_STORE_DB_H
#define CTXD_STORE_STORE_DB_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "store/store.h"

#define STORE_FILE "ctxd.db"
#define STORE_NEW_FILE STORE_FILE ".new" /* being made */
/* "ctxD" */
#define STORE_APPLICATION_ID UINT32_C(0x63747844)

/* One name for each statement; the text stands in the file that uses it. */
enum store_query {
	/* store.c */
	Q_BEGIN,
	Q_COMMIT,
	Q_ROLLBACK,
	Q_SEQ_SET,
	/* store_job.c */
	Q_JOB_INSERT,
	Q_JOB_UPDATE,
	Q_JOB_GET,
	Q_JOB_LIVE,
	Q_VALUE_ADD,
	Q_OUTPUT_BACK,
	/* store_env.c */
	Q_ENV_INSERT,
	Q_ENV_GET,
	Q_ENV_DROP,
	Q_ENV_ENDED,
	Q_ENV_OLD,
	/* store_history.c */
	Q_HISTORY_ADD,
	Q_HISTORY_EACH,
	/* store_event.c */
	Q_EVENTS,
	Q_EVENTS_END,
	Q_EVENTS_OF,
	Q_EVENTS_OF_END,
	/* store_context.c */
	Q_JOB_BY_KEY,
	Q_ATTACHED,
	Q_DEADLINE_ORIGIN,
	Q_SCOPES,
	Q_SCOPES_OF,
	Q_SCOPE_NEXT_DEADLINE,
	Q_SCOPE_OVERDUE,
	Q_BOUND,
	/* store_queue.c */
	Q_LANES,
	Q_LANE_HEAD,
	Q_QUEUE_OLDEST,
	Q_QUEUE_NEXT_DEADLINE,
	Q_QUEUE_OVERDUE,
	Q_BLOCKED,
	Q_DELAYED_NEXT,
	Q_DELAYED_DUE,
	Q_COUNTS,
	/* store_wait.c */
	Q_AFTER_ADD,
	Q_AFTER_MET,
	Q_AFTER_DROP,
	Q_AFTER_COUNT,
	Q_AFTER_FIRST,
	Q_AFTER_EACH,
	Q_AFTER_ENDED,
	Q_CONTROL_SET,
	Q_CONTROL_CLEAR,
	Q_CONTROL_EACH,
	/* store_outbox.c */
	Q_OUTBOX_ADD,
	Q_OUTBOX_DROP,
	Q_OUTBOX_COUNT,
	Q_OUTBOX_DROPPED,
	Q_OUTBOX_EACH,
	Q_OUTBOX_FORGET,
	/* store_forward.c */
	Q_FORWARD_ADD,
	Q_FORWARD_GET,
	Q_FORWARD_FIRST,
	Q_FORWARD_JOBS,
	Q_FORWARD_COUNT,
	Q_FORWARD_PLACE,
	Q_FORWARD_DONE,
	Q_FORWARD_TAKEN,
	Q_FORWARD_TAKEN_EARLIER,
	Q_FORWARD_DROP,
	Q_FORWARD_DROP_ONE,
	Q_FORWARD_DELETE,
	/* store_old.c */
	Q_OLD_JOBS,
	Q_OLD_OUTPUTS,
	Q_OLD_WALK,
	Q_OUTPUT_GONE,
	Q_KEPT,
	Q_KEPT_OVER,
	Q_KEPT_OLDEST,
	Q_OUTPUT_KEPT,
	Q_JOB_DELETE,
	Q_HISTORY_DELETE,
	Q_EDGE_KEEP,
	Q_VALUES_DELETE,
	Q_FREE_PAGES,
	Q_VACUUM,
	/* store_list.c: per way a pair of rows and end of the window, upwards and downwards */
	Q_LIST,
	Q_LIST_LAST = Q_LIST + 9 * 4 - 1,
	Q_N
};

/* The rows of a file: text by statement, NULL where it is not this file's. */
extern const char *const store_sql[Q_N];
extern const char *const store_job_sql[Q_N];
extern const char *const store_env_sql[Q_N];
extern const char *const store_history_sql[Q_N];
extern const char *const store_event_sql[Q_N];
extern const char *const store_context_sql[Q_N];
extern const char *const store_queue_sql[Q_N];
extern const char *const store_wait_sql[Q_N];
extern const char *const store_outbox_sql[Q_N];
extern const char *const store_forward_sql[Q_N];
extern const char *const store_old_sql[Q_N];
extern const char *const store_list_sql[Q_N];

struct store {
	sqlite3 *db;              /* owned */
	sqlite3_stmt *stmts[Q_N]; /* owned; NULL: a lazy one, not used so far */
	char *path, *wal_path;    /* owned */
	uint8_t uuid[16];
	uint64_t seq; /* highest taken */
	uint64_t seq_committed;
	uint64_t edge; /* of history: highest taken */
	uint64_t edge_committed;
	bool txn;          /* between store_begin and the end of the transaction */
	int changes;       /* sqlite3_total_changes() at its begin */
	bool poisoned;     /* SQLite or an error took the transaction away */
	bool backing_up;   /* store_backup.c has a snapshot, or a copy */
	struct map broken; /* store_broken.c: rows that were found malformed, by id */
};

/* Prepare all but the lazy statements. 0 or negative errno. */
int store_db_prepare(struct store *s);
void store_db_finalize(struct store *s);
/* Statement Q, reset and ready to be bound; NULL on failure (*RET_R says why). It must not be in
 * use. */
sqlite3_stmt *store_db_stmt(struct store *s, enum store_query q, int *ret_r);
/* The same for a statement that changes something: needs the open transaction; -ECANCELED when
 * poisoned. */
sqlite3_stmt *store_db_write_stmt(struct store *s, enum store_query q, int *ret_r);

/* Next row: 1 there is one, 0 the end, or negative errno. The caller resets at the end, in each
 * case. */
int store_db_row(struct store *s, sqlite3_stmt *st);
/* The one number that statement Q, which has no parameters, gives. 0, STORE_E_NOT_FOUND (no row),
 * or negative errno. */
int store_db_ask(struct store *s, enum store_query q, int64_t *ret);
/* Collect the ids that ST, bound but for its LIMIT (parameter LAST), gives; at most MAX, number in
 * RET_N. 0 or negative errno. The caller resets. */
int
store_db_ids(struct store *s, sqlite3_stmt *st, int last, uint64_t *ids, size_t max, size_t *ret_n);
/* The same of statement Q, whose only other parameter is FROM. */
int store_db_ids_from(struct store *s, enum store_query q, int64_t from, uint64_t *ids, size_t max,
		      size_t *ret_n);
/* Run a changing statement to its end and reset it. 0 or negative errno; a failure poisons. */
int store_db_run(struct store *s, sqlite3_stmt *st);
/* Errno for SQLite's result code RC; the connection may be NULL. No trace. */
int store_db_errno(sqlite3 *db, int rc);
/* Statements that give no rows: SQLite's code. */
int store_db_exec(struct store *s, const char *sql);
/* The same with a trace (none for busy, which is retried). A lost transaction poisons. */
int store_db_fail(struct store *s, int rc, const char *what);

static inline void
store_db_resetp(sqlite3_stmt **st)
{
	if (*st)
		(void)sqlite3_reset(*st);
}
/* Local statement that is reset at the end of its scope. */
#define _reset_ __attribute__((cleanup(store_db_resetp)))

static inline int
store_db_bind_str(sqlite3_stmt *st, int i, const char *s)
{
	return sqlite3_bind_text(st, i, s, -1, SQLITE_STATIC); /* NULL binds NULL */
}
/* The text of column I, borrowed until the next step or reset. */
static inline char *
store_db_str(sqlite3_stmt *st, int i)
{
	return (char *)(uintptr_t)sqlite3_column_text(st, i);
}

/* store_row.c: decoding of a row for the walks. */
struct store_row {
	struct job job;   /* borrows from the statement */
	uint32_t *groups; /* owned: job.groups */
	size_t groups_cap;
	const char *malformed; /* static: which part of the row is; NULL: none */
};
/* 0, -EUCLEAN (the row is malformed, and remembered as that), or another negative errno. */
int store_row_decode(struct store *s, sqlite3_stmt *st, struct store_row *row);
void store_row_done(struct store_row *row);
/* FN for each row of Q, which has no parameters. Malformed ones are left out. */
int store_rows_each(struct store *s, enum store_query q, store_job_fn fn, void *arg);

/* store_broken.c. INIT is for a new connection, before statements are prepared: they may say
 * `is_broken(id)`. ADD says so in the log, once a row; WHAT is static. */
int store_broken_init(struct store *s);
void store_broken_done(struct store *s);
void store_broken_add(struct store *s, uint64_t id, const char *what);

/* store_env.c: the environment goes with its job. */
int store_env_insert(struct store *s, uint64_t id, const struct strv *env);
int store_env_ended(struct store *s, uint64_t id, int64_t ended_us);

/* store_file.c: the files as they lie there, looked at without SQLite. */
enum { STORE_FILE_ABSENT = 1, STORE_FILE_BAD = 2, STORE_FILE_ALIEN = 3 };
struct store_file {
	uint32_t application_id, user_version;
	uint64_t bytes;
	bool wal; /* committed frames lie in the WAL: it was not closed */
};
/* 0; STORE_FILE_ABSENT; STORE_FILE_BAD, or STORE_FILE_ALIEN if there is nothing to recover in it,
 * with *RET_WHY a static text that completes "ctxd.db …"; or negative errno. */
int store_file_look(int dirfd, struct store_file *ret, const char **ret_why);

/* store_open.c uses this of store.c */
/* Best effort, at the end of opening. */
void store_wal_reserve(struct store *s);
int store_meta_read(struct store *s);

/* store_create.c: the schema. */
uint32_t store_create_version(void); /* the newest one known */
/* Bring it from version FROM to version TO, in the open transaction: SQLite's code. */
int store_create_migrate(struct store *s, uint32_t from, uint32_t to);

/* store_recover.c uses these of store_open.c. S has its path, and no connection. */
/* Would DIR be opened? 0, STORE_FILE_ABSENT, or negative errno with E. */
int store_open_judge(struct store *s, const char *dir, int dirfd, struct ctx_err *e);
/* Make an empty database of schema VERSION as STORE_NEW_FILE. 0 or negative errno with E. */
int
store_open_aside(struct store *s, const char *dir, int dirfd, uint32_t version, struct ctx_err *e);

/* store_job.c: the values of a job once more, for searching. */
int store_job_values(struct store *s, const struct job *j);

#endif
