/* test_idl.c - the interface descriptions that are served follow the grammar of varlink.org,
 * strictly.
 *
 * A reader of the grammar, for this test only. Beyond the syntax: each name is defined once in its
 * place, each type that is used exists and each one that exists is used. */
#include <stdarg.h>

#include "api/idl.h"
#include "base/mem.h"
#include "tap.h"
#include "varlink/varlink.h"

enum { NAMES = 256, NAME_LEN = 64, FIELDS = 64 };

struct names {
	char v[NAMES][NAME_LEN];
	size_t n;
};

struct reader {
	const char *start, *p;
	struct names types, methods, errors; /* defined; one namespace */
	struct names used;
	int depth;
	char interface[NAME_LEN];
	char wrong[160]; /* the first thing that is wrong; "" if nothing is */
};

static bool wrong(struct reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static bool
wrong(struct reader *r, const char *fmt, ...)
{
	va_list ap;
	int line = 1, n;

	for (const char *p = r->start; p < r->p; p++)
		line += *p == '\n';
	if (r->wrong[0])
		return false;
	n = snprintf(r->wrong, sizeof(r->wrong), "line %d: ", line);
	va_start(ap, fmt);
	vsnprintf(r->wrong + n, sizeof(r->wrong) - (size_t)n, fmt, ap);
	va_end(ap);
	return false;
}

static bool
has(const struct names *l, const char *s)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->v[i], s) == 0)
			return true;
	return false;
}

static bool
add(struct reader *r, struct names *l, const char *s)
{
	if (l->n == NAMES)
		return wrong(r, "too many names");
	memcpy(l->v[l->n++], s, strlen(s) + 1);
	return true;
}

static void
skip(struct reader *r)
{
	for (;;) {
		while (*r->p && strchr(" \t\r\n", *r->p))
			r->p++;
		if (*r->p != '#')
			return;
		while (*r->p && *r->p != '\n')
			r->p++;
	}
}

static bool
is(char c, const char *set)
{
	switch (*set) {
	case 'a':
		return c >= 'a' && c <= 'z';
	case 'A':
		return c >= 'A' && c <= 'Z';
	default:
		return c >= '0' && c <= '9';
	}
}

static bool
alnum(char c)
{
	return is(c, "a") || is(c, "A") || is(c, "0");
}

static bool
punct(struct reader *r, const char *s)
{
	skip(r);
	if (strncmp(r->p, s, strlen(s)) != 0)
		return false;
	r->p += strlen(s);
	return true;
}

static bool
take(struct reader *r, size_t n, char out[NAME_LEN])
{
	if (n >= NAME_LEN)
		return wrong(r, "name of %zu bytes", n);
	memcpy(out, r->p, n);
	out[n] = '\0';
	r->p += n;
	return true;
}

/* [A-Z][A-Za-z0-9]* */
static bool
name(struct reader *r, char out[NAME_LEN])
{
	size_t n = 0;

	skip(r);
	if (!is(*r->p, "A"))
		return wrong(r, "a name starts with a capital: %.20s", r->p);
	while (alnum(r->p[n]))
		n++;
	return take(r, n, out);
}

/* [A-Za-z](_?[A-Za-z0-9])* */
static bool
field_name(struct reader *r, char out[NAME_LEN])
{
	size_t n = 1;

	skip(r);
	if (!is(*r->p, "a") && !is(*r->p, "A"))
		return wrong(r, "a field name expected: %.20s", r->p);
	while (alnum(r->p[n]) || (r->p[n] == '_' && alnum(r->p[n + 1])))
		n++;
	if (r->p[n] == '_')
		return wrong(r, "an underscore at the end, or two: %.20s", r->p);
	return take(r, n, out);
}

static bool keyword(struct reader *r, const char *s);
static bool type(struct reader *r);

/* What follows "(": fields with types, or (may_enum) names without. */
static bool
fields(struct reader *r, bool may_enum)
{
	struct names seen = {.n = 0};
	bool first = true, typed = true;

	if (++r->depth > 16)
		return wrong(r, "nested too deeply");
	if (punct(r, ")")) {
		r->depth--;
		return true;
	}
	do {
		char f[NAME_LEN];
		bool t;

		if (!field_name(r, f))
			return false;
		if (has(&seen, f))
			return wrong(r, "field %s twice", f);
		if (!add(r, &seen, f))
			return false;
		t = punct(r, ":");
		if (!first && t != typed)
			return wrong(r, "field %s: an enum or a struct?", f);
		if (!t && !may_enum)
			return wrong(r, "field %s without a type", f);
		if (t && !type(r))
			return false;
		typed = t;
		first = false;
	} while (punct(r, ","));
	r->depth--;
	return punct(r, ")") || wrong(r, "no ')': %.20s", r->p);
}

static bool
element_type(struct reader *r)
{
	static const char *const builtin[] = {"bool", "int", "float", "string", "object"};
	char n[NAME_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(builtin); i++)
		if (keyword(r, builtin[i]))
			return true;
	if (punct(r, "("))
		return fields(r, true);
	return name(r, n) && (has(&r->used, n) || add(r, &r->used, n));
}

static bool
type(struct reader *r)
{
	bool maybe = punct(r, "?");

	if (punct(r, "[]") || punct(r, "[string]"))
		return type(r);
	if (maybe && punct(r, "?"))
		return wrong(r, "nullable twice");
	return element_type(r);
}

/* The word S, and not the beginning of a longer one. */
static bool
keyword(struct reader *r, const char *s)
{
	size_t n = strlen(s);

	skip(r);
	if (strncmp(r->p, s, n) != 0 || alnum(r->p[n]) || r->p[n] == '_')
		return false;
	r->p += n;
	return true;
}

static bool
blank(struct reader *r)
{
	if (!*r->p || !strchr(" \t\r\n#", *r->p))
		return wrong(r, "no blank behind a keyword");
	return true;
}

static bool
interface_name(struct reader *r)
{
	size_t n = 0, dots = 0;

	skip(r);
	if (!is(*r->p, "a"))
		return wrong(r, "an interface name starts with a small letter");
	for (; is(r->p[n], "a") || is(r->p[n], "0") || r->p[n] == '-' || r->p[n] == '.'; n++) {
		bool inner = r->p[n] != '-' && r->p[n] != '.';

		if (!inner && r->p[n - 1] == '.')
			return wrong(r, "empty label, or one that starts with a hyphen");
		if (r->p[n] == '.' && r->p[n - 1] == '-')
			return wrong(r, "a label that ends with a hyphen");
		dots += r->p[n] == '.';
	}
	if (dots == 0 || r->p[n - 1] == '-' || r->p[n - 1] == '.')
		return wrong(r, "not a reverse domain name");
	return take(r, n, r->interface);
}

static bool
defined(struct reader *r, const char *n)
{
	return has(&r->types, n) || has(&r->methods, n) || has(&r->errors, n);
}

static bool
member(struct reader *r)
{
	struct names *l = keyword(r, "type")     ? &r->types
			  : keyword(r, "method") ? &r->methods
			  : keyword(r, "error")  ? &r->errors
						 : NULL;
	char n[NAME_LEN];

	if (!l)
		return wrong(r, "type, method or error expected: %.20s", r->p);
	if (!blank(r) || !name(r, n))
		return false;
	if (defined(r, n))
		return wrong(r, "%s is defined twice", n);
	if (!add(r, l, n))
		return false;
	if (!punct(r, "(") || !fields(r, l == &r->types))
		return wrong(r, "%s: no parameters", n);
	if (l != &r->methods)
		return true;
	return (punct(r, "->") && punct(r, "(") && fields(r, false)) ||
	       wrong(r, "%s: no result", n);
}

/* The members end at a line end each: "type A (x: int) type B …" in one line is not in the grammar.
 */
static bool
line_end(struct reader *r)
{
	while (*r->p == ' ' || *r->p == '\t' || *r->p == '\r')
		r->p++;
	return *r->p == '\n' || *r->p == '#' || *r->p == '\0' ||
	       wrong(r, "text behind: %.20s", r->p);
}

static bool
read_idl(struct reader *r, const char *text)
{
	*r = (struct reader){.start = text, .p = text};
	if (!keyword(r, "interface"))
		return wrong(r, "does not start with interface");
	if (!blank(r) || !interface_name(r) || !line_end(r))
		return false;
	do {
		if (!member(r) || !line_end(r))
			return false;
		skip(r);
	} while (*r->p);
	for (size_t i = 0; i < r->used.n; i++)
		if (!has(&r->types, r->used.v[i]))
			return wrong(r, "type %s does not exist", r->used.v[i]);
	return true;
}

static bool
good(struct reader *r, const char *text)
{
	bool g = read_idl(r, text);

	if (!g)
		printf("# %s\n", r->wrong);
	return g;
}

TEST(the_reader_accepts)
{
	struct reader r;

	ok(good(&r, "interface a.b\nmethod A() -> ()"));
	ok(good(&r,
		"# c\ninterface a-c.b1.2\r\n\ntype T (\n a_b: bool, # c\n b: ?[]T, c: [string](),"
		" d: (one, two), e: [][string]?[]int, f: object\n)\nerror E (x: T)\n# end"));
	is_int(r.types.n, 1);
	is_int(r.errors.n, 1);
}

TEST(the_reader_refuses)
{
	static const char *const bad[] = {
		"",
		"interface",
		"interface a.b",
		"interface a\nmethod A() -> ()",
		"interface A.b\nmethod A() -> ()",
		"interface a.-b\nmethod A() -> ()",
		"interface a.b-\nmethod A() -> ()",
		"interface a..b\nmethod A() -> ()",
		"interface a.b method A() -> ()",
		"interface a.b\nmethod A()",
		"interface a.b\nmethod A() -> (x)",
		"interface a.b\nmethod a() -> ()",
		"interface a.b\nmethod A_b() -> ()",
		"interface a.b\nmethod A(x: int,) -> ()",
		"interface a.b\nmethod A(x: int y: int) -> ()",
		"interface a.b\nmethod A(x: integer) -> ()",
		"interface a.b\nmethod A(x: ??int) -> ()",
		"interface a.b\nmethod A(x: int[]) -> ()",
		"interface a.b\nmethod A(x: [int]string) -> ()",
		"interface a.b\nmethod A(_x: int) -> ()",
		"interface a.b\nmethod A(x_: int) -> ()",
		"interface a.b\nmethod A(x__y: int) -> ()",
		"interface a.b\nmethod A(x: int, x: int) -> ()",
		"interface a.b\nmethod A(x: Nope) -> ()",
		"interface a.b\nmethod A(x: (a, b: int)) -> ()",
		"interface a.b\nmethod A() -> () method B() -> ()",
		"interface a.b\nmethod A() -> ()\nerror A ()",
		"interface a.b\ntype A int",
		"interface a.b\nerror A (a, b)",
		"interface a.b\nerror A (a: int",
		"interface a.b\nfoo A ()",
		"interface a.b\nmethodA() -> ()",
	};
	struct reader r;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		bool g = read_idl(&r, bad[i]);

		ok(!g && r.wrong[0]);
		if (g)
			printf("# accepted: %s\n", bad[i]);
	}
}

TEST(io_ctxd)
{
	static const char *const methods[] = {"Submit", "Get",    "List",  "ListSummaries",
					      "Cancel", "Wait",   "Logs",  "Extend",
					      "Stats",  "Config", "Reload"};
	static const char *const errors[] = {"NoSuchJob",    "NotPermitted", "InvalidArgument",
					     "KeyConflict",  "QueueFull",    "StorageUnavailable",
					     "AlreadyEnded", "Draining",     "NotReady"};
	struct reader r;

	need(good(&r, idl_text));
	is_str(r.interface, "io.ctxd");
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		ok(has(&r.methods, methods[i]));
		if (!has(&r.methods, methods[i]))
			printf("# no method %s\n", methods[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		ok(has(&r.errors, errors[i]));
	for (size_t i = 0; i < r.types.n; i++) {
		ok(has(&r.used, r.types.v[i]));
		if (!has(&r.used, r.types.v[i]))
			printf("# type %s is not used\n", r.types.v[i]);
	}
}

TEST(io_ctxd_text_is_the_file)
{
	FILE *f = fopen("daemon/api/io.ctxd.varlink", "r");
	size_t len = strlen(idl_text), n;
	char *file = malloc(len + 2);

	need(f && file);
	n = fread(file, 1, len + 2, f);
	ok(n == len && memcmp(file, idl_text, len) == 0);
	ok(len > 0 && idl_text[len - 1] == '\n');
	for (const char *p = idl_text; *p; p++)
		ok(*p == '\n' ||
		   (*p >= ' ' && *p < 127)); /* plain text: shown by all tools alike */
	fclose(f);
	free(file);
}

TEST(org_varlink_service)
{
	static const char *const errors[] = {"InterfaceNotFound",    "MethodNotFound",
					     "MethodNotImplemented", "InvalidParameter",
					     "PermissionDenied",     "ExpectedMore"};
	struct reader r;

	need(good(&r, varlink_service_idl));
	is_str(r.interface, "org.varlink.service");
	is_int(r.methods.n, 2);
	ok(has(&r.methods, "GetInfo") && has(&r.methods, "GetInterfaceDescription"));
	is_int(r.errors.n, ARRAY_SIZE(errors));
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		ok(has(&r.errors, errors[i]));
}
