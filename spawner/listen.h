/* listen.h - the spawner's loop: its socket, its signals, its connections. */
#ifndef CTX_SPAWNER_LISTEN_H
#define CTX_SPAWNER_LISTEN_H

struct spawner;

/* Until SIGTERM, SIGINT, or idleness. */
void listen_run(struct spawner *s);

#endif
