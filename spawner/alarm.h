/* alarm.h - the monitor's one timer: the deadline or the end of the grace, the warning before the
 * deadline, the watchdog. All on CLOCK_BOOTTIME. What is due is an event; whether it means anything
 * by then, action.c knows. */
#ifndef CTX_SPAWNER_ALARM_H
#define CTX_SPAWNER_ALARM_H

#include <stdint.h>

struct monitor;

/* When the command was started: deadline, warning and watchdog. */
void alarm_start(struct monitor *m);
/* monitor.deadline_ns has moved: the warning moves with it. */
void alarm_deadline(struct monitor *m);
/* End of the grace. 0 disarms; a time that has passed fires at once. */
void alarm_grace(struct monitor *m, int64_t at_ns);
/* A sign of life. */
void alarm_alive(struct monitor *m);
/* The timer's descriptor is readable: whatever is due is an event. */
void alarm_fire(struct monitor *m);

#endif
