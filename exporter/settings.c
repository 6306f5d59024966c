/* settings.c - OpenTelemetry's variables, see settings.h. */
#include "exporter/settings.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"

#define GENERAL "OTEL_EXPORTER_OTLP_"
#define TRACES "OTEL_EXPORTER_OTLP_TRACES_"

enum { TIMEOUT_MS = 10000, TIMEOUT_MS_MAX = 600000 };

static const char *
not_empty(const char *name)
{
	const char *v = getenv(name);

	return v && *v ? v : NULL;
}

/* Of traces, or else of everything. */
static const char *
variable(const char *what)
{
	char name[64];
	const char *v;

	(void)snprintf(name, sizeof(name), TRACES "%s", what);
	v = not_empty(name);
	if (v)
		return v;
	(void)snprintf(name, sizeof(name), GENERAL "%s", what);
	return not_empty(name);
}

static int
wrong(const char *what, const char *value, const char *why)
{
	char shown[256];

	log_err("%s: '%s' %s", what, text_escape(value, shown, sizeof(shown)), why);
	return -EINVAL;
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* N bytes of S, percent-decoded and without blanks around; the caller's. NULL with *RET_R. */
static char *
decode(const char *s, size_t n, int *ret_r)
{
	char *out, *to;

	while (n > 0 && (*s == ' ' || *s == '\t'))
		s++, n--;
	while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t'))
		n--;
	out = to = malloc(n + 1);
	*ret_r = out ? 0 : -ENOMEM;
	for (size_t i = 0; out && i < n; i++) {
		if (s[i] != '%') {
			*to++ = s[i];
			continue;
		}
		if (i + 2 >= n || hex(s[i + 1]) < 0 || hex(s[i + 2]) < 0) {
			*ret_r = -EINVAL;
			free(out);
			return NULL;
		}
		*to = (char)(hex(s[i + 1]) * 16 + hex(s[i + 2]));
		if (*to == '\0' || *to == '\n' || *to == '\r') {
			*ret_r = -EINVAL;
			free(out);
			return NULL;
		}
		to++;
		i += 2;
	}
	if (out)
		*to = '\0';
	return out;
}

static int
take_pair(struct settings_pair *p, const char *s, size_t n)
{
	const char *eq = memchr(s, '=', n);
	int r;

	if (!eq || eq == s)
		return -EINVAL;
	p->name = decode(s, (size_t)(eq - s), &r);
	if (p->name)
		p->value = decode(eq + 1, n - (size_t)(eq + 1 - s), &r);
	return r;
}

/* NAME=VALUE,NAME=VALUE as in W3C Baggage. */
static int
take_pairs(const char *what, const char *text, struct settings_pair *v, size_t max, size_t *n)
{
	int r = 0;

	for (const char *s = text; text && r == 0; s++) {
		size_t len = strcspn(s, ",");

		if (strspn(s, " \t") < len) {
			if (*n == max)
				return wrong(what, text, "has too many entries");
			r = take_pair(&v[(*n)++], s, len);
		}
		s += len;
		if (!*s)
			break;
	}
	if (r == -EINVAL)
		return wrong(what, text, "is not NAME=VALUE,... with values percent-encoded");
	if (r < 0)
		log_err("out of memory");
	return r;
}

static int
add_attribute(struct settings *s, const char *name, const char *value)
{
	struct settings_pair *p;

	for (size_t i = 0; i < s->n_attributes; i++)
		if (s->attribute[i].name && strcmp(s->attribute[i].name, name) == 0)
			return 0;
	if (s->n_attributes == SETTINGS_ATTRIBUTES_MAX)
		return 0;
	p = &s->attribute[s->n_attributes++];
	p->name = strdup(name);
	p->value = strdup(value);
	if (p->name && p->value)
		return 0;
	log_err("out of memory");
	return -ENOMEM;
}

/* Who tells all this; given ones win. */
static int
take_resource(struct settings *s)
{
	const char *service = not_empty("OTEL_SERVICE_NAME");
	char host[256];
	int r = 0;

	if (service)
		r = add_attribute(s, "service.name", service);
	if (r == 0)
		r = take_pairs("OTEL_RESOURCE_ATTRIBUTES", getenv("OTEL_RESOURCE_ATTRIBUTES"),
			       s->attribute, SETTINGS_ATTRIBUTES_MAX, &s->n_attributes);
	if (r == 0)
		r = add_attribute(s, "service.name", "ctx");
	if (r == 0)
		r = add_attribute(s, "service.version", CTX_VERSION);
	if (r == 0 && gethostname(host, sizeof(host)) == 0) {
		host[sizeof(host) - 1] = '\0';
		r = add_attribute(s, "host.name", host);
	}
	return r;
}

static int
take_url(struct settings *s)
{
	const char *whole = not_empty(TRACES "ENDPOINT"), *base = not_empty(GENERAL "ENDPOINT");
	const char *url = whole ? whole : base;
	size_t n;

	if (!url)
		return 0;
	if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
		return wrong("the endpoint for spans", url, "is neither http:// nor https://");
	n = strlen(url);
	while (!whole && n > 0 && url[n - 1] == '/')
		n--;
	if (asprintf(&s->url, "%.*s%s", (int)n, url, whole ? "" : "/v1/traces") < 0) {
		s->url = NULL;
		log_err("out of memory");
		return -ENOMEM;
	}
	return 0;
}

static int
take_timeout(struct settings *s)
{
	const char *text = variable("TIMEOUT");
	uint64_t ms = TIMEOUT_MS;

	if (text && (text_u64(text, &ms) < 0 || ms == 0 || ms > TIMEOUT_MS_MAX))
		return wrong(GENERAL "TIMEOUT", text,
			     "is not a number of milliseconds up to 600000");
	s->timeout_ms = (long)ms;
	return 0;
}

/* What we do not speak is said, not passed over. */
static int
check_choices(void)
{
	const char *protocol = variable("PROTOCOL"), *compression = variable("COMPRESSION");

	if (protocol && strcmp(protocol, "http/json") != 0)
		return wrong(GENERAL "PROTOCOL", protocol, "is not spoken here; http/json is");
	if (compression && strcmp(compression, "none") != 0)
		return wrong(GENERAL "COMPRESSION", compression, "is not spoken here; none is");
	return 0;
}

int
settings_read(struct settings *s)
{
	int r = take_url(s);

	if (r < 0 || !s->url)
		return r;
	s->ca = variable("CERTIFICATE");
	s->client_cert = variable("CLIENT_CERTIFICATE");
	s->client_key = variable("CLIENT_KEY");
	r = check_choices();
	if (r == 0)
		r = take_timeout(s);
	if (r == 0)
		r = take_pairs(GENERAL "HEADERS", variable("HEADERS"), s->header,
			       SETTINGS_HEADERS_MAX, &s->n_headers);
	return r ? r : take_resource(s);
}

static void
pairs_done(struct settings_pair *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(v[i].name);
		free(v[i].value);
	}
}

void
settings_done(struct settings *s)
{
	free(s->url);
	pairs_done(s->header, s->n_headers);
	pairs_done(s->attribute, s->n_attributes);
	*s = (struct settings){0};
}
