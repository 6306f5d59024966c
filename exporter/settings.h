/* settings.h - where spans go, as OpenTelemetry's environment variables say
 * (https://opentelemetry.io/docs/specs/otel/protocol/exporter/): those of traces win over the
 * general ones. */
#ifndef CTX_EXPORTER_SETTINGS_H
#define CTX_EXPORTER_SETTINGS_H

#include <stddef.h>

enum { SETTINGS_HEADERS_MAX = 32, SETTINGS_ATTRIBUTES_MAX = 64 };
struct settings_pair {
	char *name, *value; /* owned */
};
struct settings {
	char *url;                                 /* owned; NULL: spans are not exported */
	const char *ca, *client_cert, *client_key; /* files; of the environment; may be NULL */
	long timeout_ms;
	struct settings_pair header[SETTINGS_HEADERS_MAX];
	size_t n_headers;
	struct settings_pair attribute[SETTINGS_ATTRIBUTES_MAX]; /* of the resource */
	size_t n_attributes;
};

/* Read the environment into S (zeroed). 0, or negative errno: what is wrong was said in the log. */
int settings_read(struct settings *s);
void settings_done(struct settings *s);

#endif
