/* stop.c - the record of a stop, see stop.h. */
#include "core/stop.h"

#include "base/clock.h"
#include "base/jw.h"
#include "core/job.h"

static void
put_time(struct jw *w, const char *key, int64_t us)
{
	char text[CLOCK_TEXT];

	jw_str(w, key, us ? wall_format(wall_usec(us), text, sizeof(text)) : NULL);
}

static void
put_number(struct jw *w, const char *key, bool has, int64_t v)
{
	if (has)
		jw_int(w, key, v);
	else
		jw_null(w, key);
}

void
stop_write(struct jw *w, const char *key, const struct job *j)
{
	const struct job_stop *s = &j->stop;
	const char *rule = job_stop_rule(j);

	if (!job_was_stopped(j)) {
		jw_null(w, key);
		return;
	}
	jw_obj_open(w, key);
	put_time(w, "asked_at", s->asked_us);
	put_number(w, "by_uid", s->has_uid, s->uid);
	put_number(w, "by_pid", s->pid != 0, s->pid);
	put_number(w, "by_parent", s->parent != 0, (int64_t)s->parent);
	jw_str(w, "by_rule", rule);
	put_time(w, "term_at", s->term_us);
	put_number(w, "term_processes", s->has_counts && s->term_us, s->term_processes);
	put_time(w, "kill_at", s->kill_us);
	put_number(w, "kill_processes", s->has_counts && s->kill_us, s->kill_processes);
	put_time(w, "main_ended_at", s->main_ended_us);
	put_time(w, "empty_at", s->main_ended_us ? j->ended_us : 0);
	jw_obj_close(w);
}
