/* alarm.c - the monitor's one timer, see alarm.h. */
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "spawner/action.h"
#include "spawner/alarm.h"
#include "spawner/monitor_state.h"

/* A job may move its deadline as often as it likes, and may do so because it was warned. */
#define WARN_EVERY NSEC_PER_SEC

static int64_t
sooner(int64_t a, int64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

static bool
is_due(int64_t at_ns, int64_t now_ns)
{
	return at_ns != 0 && at_ns <= now_ns;
}

static void
arm(struct monitor *m)
{
	struct itimerspec t = {0};
	int64_t at = sooner(sooner(m->alarm_ns, m->warn_at_ns), m->watchdog_at_ns);

	t.it_value.tv_sec = at / NSEC_PER_SEC;
	t.it_value.tv_nsec = at % NSEC_PER_SEC;
	if (timerfd_settime(m->timer, TFD_TIMER_ABSTIME, &t, NULL) < 0)
		abort();
}

void
alarm_deadline(struct monitor *m)
{
	m->alarm_ns = m->deadline_ns;
	if (m->warn_ns) {
		m->warn_at_ns = m->deadline_ns - m->warn_ns;
		if (m->warn_at_ns < m->warned_ns + WARN_EVERY)
			m->warn_at_ns = m->warned_ns + WARN_EVERY;
	}
	arm(m);
}

void
alarm_start(struct monitor *m)
{
	/* With the deadline nearer than that, the warning goes out at once. */
	m->warned_ns = -WARN_EVERY + 1;
	if (m->watchdog_ns)
		m->watchdog_at_ns =
			mono_add((struct mono){m->started_ns}, (struct dur){m->watchdog_ns}).ns;
	alarm_deadline(m);
}

void
alarm_grace(struct monitor *m, int64_t at_ns)
{
	m->alarm_ns = at_ns;
	arm(m);
}

/* It only moves away: the timer may fire too early and is set anew then. */
void
alarm_alive(struct monitor *m)
{
	if (m->watchdog_ns)
		m->watchdog_at_ns = mono_add(mono_now(), (struct dur){m->watchdog_ns}).ns;
}

void
alarm_fire(struct monitor *m)
{
	int64_t now = mono_now().ns;
	uint64_t times;

	/* Armed anew since poll returned: nothing to read. */
	if (read(m->timer, &times, sizeof(times)) != sizeof(times))
		return;
	if (is_due(m->alarm_ns, now)) {
		m->alarm_ns = 0;
		action_step(m, m->state == S_RUNNING ? E_DEADLINE : E_GRACE,
			    &(struct detail){.cause = STOP_CAUSE_DEADLINE});
	}
	if (is_due(m->watchdog_at_ns, now)) {
		m->watchdog_at_ns = 0;
		action_step(m, E_WATCHDOG, &(struct detail){.cause = STOP_CAUSE_WATCHDOG});
	}
	if (is_due(m->warn_at_ns, now)) {
		m->warn_at_ns = 0;
		m->warned_ns = now;
		action_step(m, E_WARN, &(struct detail){.signo = m->warn_signal});
	}
	arm(m);
}
