/* stop.c - the record of a stop, see stop.h. */
#include "core/stop.h"

#include "base/jw.h"
#include "core/job.h"

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
	jw_time(w, "asked_at", s->asked_us);
	jw_int_if(w, "by_uid", s->has_uid, s->uid);
	jw_int_if(w, "by_pid", s->pid != 0, s->pid);
	jw_int_if(w, "by_parent", s->parent != 0, (int64_t)s->parent);
	jw_str(w, "by_rule", rule);
	jw_time(w, "term_at", s->term_us);
	jw_int_if(w, "term_processes", s->has_counts && s->term_us, s->term_processes);
	jw_time(w, "kill_at", s->kill_us);
	jw_int_if(w, "kill_processes", s->has_counts && s->kill_us, s->kill_processes);
	jw_time(w, "main_ended_at", s->main_ended_us);
	jw_time(w, "empty_at", s->main_ended_us ? j->ended_us : 0);
	jw_obj_close(w);
}
