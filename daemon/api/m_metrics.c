/* m_metrics.c - Metrics: what is counted, for who watches over time. */
#include "api/conn.h"
#include "api/methods.h"
#include "base/clock.h"
#include "base/jw.h"
#include "core/metrics.h"

static void
put_hist(struct jw *j, const char *key, const struct metrics_bounds *b,
	 const struct metrics_hist *h)
{
	jw_obj_open(j, key);
	jw_arr_open(j, "bounds_usec");
	for (size_t i = 0; i < b->n; i++)
		jw_int(j, NULL, b->us[i]);
	jw_arr_close(j);
	jw_arr_open(j, "counts");
	for (size_t i = 0; i <= b->n; i++)
		jw_int(j, NULL, (int64_t)h->n[i]);
	jw_arr_close(j);
	jw_int(j, "sum_usec", (int64_t)h->sum_us);
	jw_obj_close(j);
}

static void
put_age(struct jw *j, int64_t oldest_us, int64_t now_us)
{
	if (oldest_us == 0)
		jw_null(j, "oldest_queued_usec");
	else /* not negative when the clock was set back */
		jw_int(j, "oldest_queued_usec", now_us > oldest_us ? now_us - oldest_us : 0);
}

/* The first one queued of all classes is kept in *OLDEST_US. */
static int
put_class(struct jw *j, struct engine *g, const struct metrics_class *m, int64_t now_us,
	  int64_t *oldest_us)
{
	struct engine_class_load l;
	int r = engine_class_load(g, m->name, &l);

	if (r < 0)
		return r;
	if (l.oldest_us > 0 && (*oldest_us == 0 || l.oldest_us < *oldest_us))
		*oldest_us = l.oldest_us;
	jw_obj_open(j, NULL);
	jw_str(j, "class", m->name);
	jw_int(j, "queued", (int64_t)l.queued);
	put_age(j, l.oldest_us, now_us);
	jw_int(j, "running", (int64_t)l.running);
	jw_int(j, "started", (int64_t)m->started);
	jw_int(j, "retried", (int64_t)m->retried);
	jw_obj_open(j, "ended");
	for (unsigned s = JOB_SUCCEEDED; s <= JOB_INTERRUPTED; s++)
		jw_int(j, job_state_name((enum job_state)s), (int64_t)m->ended[s]);
	jw_obj_close(j);
	put_hist(j, "start_delay", &metrics_bounds_job, &m->delay);
	put_hist(j, "run_time", &metrics_bounds_job, &m->run);
	jw_obj_close(j);
	return 0;
}

int
m_metrics_metrics(struct call *c, void *args)
{
	const struct metrics *m = engine_metrics(c->engine);
	int64_t now_us = wall_to_usec(wall_now()), oldest_us = 0;
	uint64_t waiting, dropped;
	char at[CLOCK_TEXT];
	struct jw j;

	(void)args;
	varlink_reply_open(&j, &c->conn->out);
	jw_str(&j, "started_at",
	       wall_format(wall_usec(engine_started_us(c->engine)), at, sizeof(at)));
	jw_arr_open(&j, "classes");
	for (const struct metrics_class *k = m->classes; k; k = k->next) {
		int r = put_class(&j, c->engine, k, now_us, &oldest_us);

		if (r < 0) /* what is written already is taken back */
			return r;
	}
	jw_arr_close(&j);
	put_age(&j, oldest_us, now_us);
	put_hist(&j, "commit", &metrics_bounds_commit, &m->commit);
	jw_int(&j, "commits_failed", (int64_t)m->commits_failed);
	engine_outbox(c->engine, &waiting, &dropped);
	jw_int(&j, "spans_waiting", (int64_t)waiting);
	jw_int(&j, "spans_dropped", (int64_t)dropped);
	varlink_reply_close(&j, false);
	return 0;
}
