/* store_columns.h - columns of the table job in the order of SELECT, INSERT and UPDATE; each
 * position is an enum made from the same list as the SQL text. For daemon/store only. */
#ifndef CTXD_STORE_STORE_COLUMNS_H
#define CTXD_STORE_STORE_COLUMNS_H

/* Written once, at insertion. */
#define STORE_COLUMNS_FIXED(X)                                                                     \
	X(KIND, "kind")                                                                            \
	X(UID, "uid")                                                                              \
	X(GID, "gid")                                                                              \
	X(SUBMITTED_BY, "submitted_by")                                                            \
	X(CLASS, "class")                                                                          \
	X(NAME, "name")                                                                            \
	X(KEY, "key")                                                                              \
	X(USER, "user")                                                                            \
	X(HOME, "home")                                                                            \
	X(SHELL, "shell")                                                                          \
	X(CWD, "cwd")                                                                              \
	X(GROUPS, "gids")                                                                          \
	X(ARGV, "argv")                                                                            \
	X(UMASK, "umask")                                                                          \
	X(PARENT, "parent")                                                                        \
	X(INHERIT, "inherit")                                                                      \
	X(INHERITED, "inherited")                                                                  \
	X(TRACE_ID, "trace_id")                                                                    \
	X(PARENT_SPAN, "parent_span")                                                              \
	X(TRACE_FLAGS, "trace_flags")                                                              \
	X(TRACESTATE, "tracestate")                                                                \
	X(BAGGAGE, "baggage")                                                                      \
	X(VALUES, "ctx_values")                                                                    \
	X(WARN, "warn")                                                                            \
	X(WARN_SIGNAL, "warn_signal")                                                              \
	X(WATCHDOG, "watchdog")                                                                    \
	X(SPLIT_OUTPUT, "split_output")                                                            \
	X(STDIN_BYTES, "stdin_bytes")                                                              \
	X(STDIN_HASH, "stdin_hash")                                                                \
	X(SUBMITTED, "submitted")                                                                  \
	X(TIMEOUT_REQUESTED, "timeout_requested")                                                  \
	X(DEADLINE_REQUESTED, "deadline_requested")                                                \
	X(RETRIES, "retries")                                                                      \
	X(BACKOFF, "backoff")

/* Written by every change, after `state`. */
#define STORE_COLUMNS_MUTABLE(X)                                                                   \
	X(SPAN_ID, "span_id")                                                                      \
	X(PRIORITY, "priority")                                                                    \
	X(BOUND, "bound")                                                                          \
	X(STARTED, "started")                                                                      \
	X(ENDED, "ended")                                                                          \
	X(ATTEMPT, "attempt")                                                                      \
	X(TIMEOUT, "timeout")                                                                      \
	X(DEADLINE_RULE, "deadline_rule")                                                          \
	X(DEADLINE, "deadline")                                                                    \
	X(DEADLINE_BOOT, "deadline_boot_ns")                                                       \
	X(GRACE, "grace")                                                                          \
	X(STOP_SIGNAL, "stop_signal")                                                              \
	X(REQUEUES, "requeues")                                                                    \
	X(SEQ, "seq")                                                                              \
	X(BOOT, "boot")                                                                            \
	X(PID, "pid")                                                                              \
	X(CANCEL_ATTEMPT, "cancel_attempt")                                                        \
	X(CANCEL_NOW, "cancel_now")                                                                \
	X(EXIT_CODE, "exit_code")                                                                  \
	X(SIGNAL, "signal")                                                                        \
	X(LEFTOVERS, "leftovers")                                                                  \
	X(SURVIVORS, "survivors_possible")                                                         \
	X(CAUSE_CODE, "cause_code")                                                                \
	X(CAUSE, "cause")                                                                          \
	X(KNOWN_BY, "known_by")                                                                    \
	X(EXEC_ERRNO, "exec_errno")                                                                \
	X(OUT_BYTES, "out_bytes")                                                                  \
	X(OUT_DROPPED, "out_dropped")                                                              \
	X(ERR_BYTES, "err_bytes")                                                                  \
	X(ERR_DROPPED, "err_dropped")                                                              \
	X(PROGRESS_PERCENT, "progress_percent")                                                    \
	X(PROGRESS_TEXT, "progress_text")                                                          \
	X(PROGRESS_AT, "progress_at")                                                              \
	X(READY_AT, "ready_at")                                                                    \
	X(USAGE_USER, "usage_user")                                                                \
	X(USAGE_SYSTEM, "usage_system")                                                            \
	X(USAGE_RSS, "usage_rss")                                                                  \
	X(USAGE_MEMORY, "usage_memory")                                                            \
	X(USAGE_READ, "usage_read")                                                                \
	X(USAGE_WRITTEN, "usage_written")                                                          \
	X(UNENFORCED, "unenforced")                                                                \
	X(STOP_ASKED, "stop_asked")                                                                \
	X(STOP_UID, "stop_uid")                                                                    \
	X(STOP_PID, "stop_pid")                                                                    \
	X(STOP_PARENT, "stop_parent")                                                              \
	X(STOP_TERM, "stop_term")                                                                  \
	X(STOP_TERM_N, "stop_term_processes")                                                      \
	X(STOP_KILL, "stop_kill")                                                                  \
	X(STOP_KILL_N, "stop_kill_processes")                                                      \
	X(MAIN_ENDED, "main_ended")                                                                \
	X(RESOLUTION_AS, "resolution_as")                                                          \
	X(RESOLUTION_NOTE, "resolution_note")                                                      \
	X(RESOLUTION_BY, "resolution_by")                                                          \
	X(RESOLUTION_AT, "resolution_at")                                                          \
	X(NOT_BEFORE, "not_before")                                                                \
	X(HELD, "held")                                                                            \
	X(WAITS, "waits")                                                                          \
	X(BLOCKED, "blocked")                                                                      \
	X(RETRIED, "retried")                                                                      \
	X(LAST_PERCENT, "last_percent")                                                            \
	X(LAST_TEXT, "last_text")                                                                  \
	X(SEEN, "seen")

enum store_column {
	C_ID,
#define STORE_COLUMN_ID(id, name) C_##id,
	STORE_COLUMNS_FIXED(STORE_COLUMN_ID) /* */
	C_STATE,
	STORE_COLUMNS_MUTABLE(STORE_COLUMN_ID) /* */
#undef STORE_COLUMN_ID
	C_N
};

#define STORE_COLUMN_NAME(id, name) ", " name
#define STORE_COLUMN_MARK(id, name) ", ?"
#define STORE_COLUMN_SET(id, name) ", " name " = ?"

/* For SELECT: column i of the result is enum store_column. */
#define STORE_COLUMNS                                                                              \
	"id" STORE_COLUMNS_FIXED(STORE_COLUMN_NAME) ", state" STORE_COLUMNS_MUTABLE(               \
		STORE_COLUMN_NAME)

#endif
