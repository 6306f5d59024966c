/* http.h - GET /metrics and /health. Everything that speaks HTTP is libmicrohttpd's, in a thread of
 * its own for each socket, with few connections and short limits: a scrape that hangs holds nobody
 * up. */
#ifndef CTX_EXPORTER_HTTP_H
#define CTX_EXPORTER_HTTP_H

struct collect;
struct http;

/* Serve on FD (taken, also on failure), with what C (borrowed) says. NULL: said in the log. */
struct http *http_start(int fd, struct collect *c);
struct http *http_stop(struct http *h); /* waits for its thread */

#endif
