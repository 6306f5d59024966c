/* cmd_tree.c - contexts as a tree.
 *
 * Without an id: all that is unfinished, and what it derives from however long ago that ended; the
 * ancestors that the first list does not have are asked for by id, generation by generation. With
 * one: all that derives from it, likewise downwards. A child has a larger id than its parent, so
 * the order of ids puts parents first and makes a walk that ends. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/filter.h"
#include "cli/options.h"
#include "cli/out.h"
#include "cli/view.h"
#include "cli/width.h"

enum { AHEAD = 64 };

static const struct options_spec spec = {
	"[ID]",
	"Show contexts as a tree: id, state, the time to the deadline, and the name or the "
	"command. With an\n"
	"ID: it and all that derives from it. Without: all that is unfinished, and what that "
	"derives from.\n"
	"What is marked + is attached: it ends with what is above it. --json: an array of the "
	"roots, each\n"
	"with its `children`.",
	"  ctxctl tree\n"
	"  ctxctl tree 41",
	NULL,
	0,
	false,
};

struct node {
	json_t *job; /* owned */
	struct view v;
	struct node *parent, *first, *last, *next; /* borrowed: of the same array */
};

struct tree {
	struct cli *cli;
	struct ctxd_client *c;
	struct node *nodes; /* owned; by id once linked */
	size_t n, room;
	size_t columns;
	int64_t now; /* wall microseconds */
	bool color;
};

static int
by_id(const void *a, const void *b)
{
	uint64_t x = ((const struct node *)a)->v.id, y = ((const struct node *)b)->v.id;

	return x < y ? -1 : x > y;
}

static struct node *
find(const struct tree *t, uint64_t id)
{
	const struct node key = {.v = {.id = id}};

	return t->n ? bsearch(&key, t->nodes, t->n, sizeof(key), by_id) : NULL;
}

/* ---- asking */

static int
add(struct tree *t, json_t *job)
{
	struct node node = {.job = job};

	if (view_read(job, &node.v) < 0)
		return conn_strange(t->cli, "job");
	if (t->n == t->room) {
		size_t room = t->room ? t->room * 2 : 64;
		struct node *nodes = reallocarray(t->nodes, room, sizeof(*nodes));

		if (!nodes)
			return conn_no_memory(t->cli);
		t->nodes = nodes;
		t->room = room;
	}
	json_incref(job);
	t->nodes[t->n++] = node;
	return 0;
}

static int
receive_list(struct tree *t)
{
	bool continues = true;
	int r = 0;

	while (continues && r == 0) {
		_cleanup_(conn_jsonp) json_t *reply = NULL;
		const json_t *jobs;

		r = conn_receive(t->cli, t->c, &reply, &continues);
		jobs = r ? NULL : json_object_get(reply, "jobs");
		for (size_t i = 0; i < json_array_size(jobs) && r == 0; i++)
			r = add(t, json_array_get(jobs, i));
	}
	return r;
}

/* The one that was asked for. One that is someone else's, or was deleted, is no ancestor to be
 * shown, if SKIP. */
static int
receive_one(struct tree *t, bool skip)
{
	_cleanup_(conn_jsonp) json_t *reply = NULL;
	struct ctxd_failure why;

	if (ctxd_receive(t->c, &reply, NULL, &why) == 0)
		return add(t, json_object_get(reply, "job"));
	if (skip && (why.code == CTXD_E_NO_SUCH_JOB || why.code == CTXD_E_NOT_PERMITTED))
		return 0;
	return conn_fail(t->cli, &why);
}

/* Calls for N ids, some ahead of their replies. */
static int
ask(struct tree *t, const uint64_t *ids, size_t n, bool children)
{
	size_t sent = 0;
	int r = 0;

	for (size_t got = 0; got < n && r == 0; got++) {
		for (; sent < n && sent < got + AHEAD && r == 0; sent++) {
			if (children)
				r = conn_send(t->cli, t->c, "List",
					      json_pack("{s:I}", "parent", (json_int_t)ids[sent]),
					      CTXD_CALL_MORE);
			else
				r = conn_send(t->cli, t->c, "Get", conn_id(ids[sent]), 0);
		}
		if (r == 0)
			r = children ? receive_list(t) : receive_one(t, true);
	}
	return r;
}

static int
by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Ids of parents of the nodes FROM on that are no nodes themselves, each once; IDS has room. */
static size_t
missing(struct tree *t, size_t from, uint64_t *ids)
{
	size_t n = 0, kept = 0;

	if (t->n == 0)
		return 0;
	for (size_t i = from; i < t->n; i++)
		if (t->nodes[i].v.parent && t->nodes[i].v.parent < t->nodes[i].v.id)
			ids[n++] = t->nodes[i].v.parent;
	qsort(t->nodes, t->n, sizeof(*t->nodes), by_id);
	qsort(ids, n, sizeof(*ids), by_number);
	for (size_t i = 0; i < n; i++)
		if ((kept == 0 || ids[kept - 1] != ids[i]) && !find(t, ids[i]))
			ids[kept++] = ids[i];
	return kept;
}

static int
find_live(struct tree *t)
{
	const struct filter all = {.all = true};
	json_t *params = NULL;
	size_t from = 0, n;
	int r = filter_params(t->cli, &all, filter_live, &params);

	if (r == 0)
		r = conn_send(t->cli, t->c, "List", params, CTXD_CALL_MORE);
	if (r == 0)
		r = receive_list(t);
	do {
		_free_ uint64_t *ids = calloc(t->n + 1, sizeof(*ids));

		if (!ids)
			return conn_no_memory(t->cli);
		n = r ? 0 : missing(t, from, ids);
		from = t->n;
		if (n)
			r = ask(t, ids, n, false);
	} while (r == 0 && n);
	return r;
}

static int
find_below(struct tree *t, uint64_t id)
{
	size_t from = 0;
	int r = conn_send(t->cli, t->c, "Get", conn_id(id), 0);

	if (r == 0)
		r = receive_one(t, false);
	while (r == 0 && from < t->n) {
		size_t n = t->n - from;
		_free_ uint64_t *ids = calloc(n, sizeof(*ids));

		if (!ids)
			return conn_no_memory(t->cli);
		for (size_t i = 0; i < n; i++)
			ids[i] = t->nodes[from + i].v.id;
		from = t->n;
		r = ask(t, ids, n, true);
	}
	return r;
}

/* ---- linking */

/* A job that came twice, because it was listed in between, is kept once. */
static void
link_all(struct tree *t)
{
	size_t kept = 0;

	if (t->n == 0)
		return;
	qsort(t->nodes, t->n, sizeof(*t->nodes), by_id);
	for (size_t i = 0; i < t->n; i++) {
		if (kept && t->nodes[kept - 1].v.id == t->nodes[i].v.id)
			json_decref(t->nodes[i].job);
		else
			t->nodes[kept++] = t->nodes[i];
	}
	t->n = kept;
	for (size_t i = 0; i < t->n; i++) {
		struct node *x = &t->nodes[i], *up;

		up = x->v.parent < x->v.id ? find(t, x->v.parent) : NULL;
		x->parent = up;
		if (up && up->last)
			up->last = up->last->next = x;
		else if (up)
			up->first = up->last = x;
	}
}

/* The next of a walk that visits parents first, within the tree of one root; NULL: that was all. */
static struct node *
walk(struct node *x)
{
	if (x->first)
		return x->first;
	while (x && !x->next)
		x = x->parent;
	return x ? x->next : NULL;
}

/* ---- showing */

static bool
is_attached(const struct view *v)
{
	const json_t *set = json_object_get(v->json, "inherit");

	for (size_t i = 0; i < json_array_size(set); i++) {
		const char *name = json_string_value(json_array_get(set, i));

		if (name && strcmp(name, "cancel") == 0)
			return true;
	}
	return false;
}

/* The lines that lead to X, from the outermost on. */
static int
put_branches(struct buf *b, const struct node *x)
{
	_cleanup_(buf_done) struct buf back = {0}; /* per generation: is another one to come? */

	for (const struct node *p = x; p->parent; p = p->parent)
		(void)buf_putc(&back, p->next != NULL);
	for (size_t i = buf_len(&back); i > 1; i--)
		(void)buf_puts(b, buf_head(&back)[i - 1] ? "|  " : "   ");
	if (x->parent)
		(void)buf_puts(b, x->next ? "|- " : "`- ");
	return back.failed ? back.failed : b->failed;
}

static int
put_what(struct buf *b, const struct view *v)
{
	if (v->name) {
		(void)out_escape(b, v->name, strlen(v->name));
		return buf_puts(b, v->is_scope ? " (scope)" : "");
	}
	if (v->is_scope)
		return buf_puts(b, "(scope)");
	return view_argv(v->json, b);
}

static int
put_line(struct tree *t, const struct node *x)
{
	_cleanup_(buf_done) struct buf head = {0}, what = {0};
	const struct view *v = &x->v;
	char span[OUT_SPAN];
	const char *left = view_left(v, t->now, span);
	size_t used;

	if (put_branches(&head, x) == 0)
		(void)buf_printf(&head, "%" PRIu64 "%s ", v->id,
				 x->parent && is_attached(v) ? "+" : "");
	if (buf_len(&head) == 0 || head.failed || put_what(&what, v) < 0)
		return conn_no_memory(t->cli);
	used = buf_len(&head) + strlen(v->state) + (left ? strlen(left) + 7 : 0) + 2;
	out_put(buf_head(&head), buf_len(&head));
	if (t->color)
		out_puts(out_style(view_style(v)));
	out_text(v->state);
	if (t->color)
		out_puts(OUT_RESET);
	if (left)
		out_printf(strcmp(left, "overdue") == 0 ? " (%s)" : " (%s left)", left);
	out_puts("  ");
	if (t->columns > used)
		out_put(buf_head(&what),
			width_prefix(buf_head(&what), buf_len(&what), t->columns - used));
	else if (t->columns == 0)
		out_put(buf_head(&what), buf_len(&what));
	out_puts("\n");
	return 0;
}

/* `{…}` without its end, so that the children come behind. */
static int
put_open(struct tree *t, const struct node *x)
{
	_cleanup_(conn_textp) char *text = json_dumps(x->job, JSON_COMPACT);

	if (!text)
		return conn_no_memory(t->cli);
	out_put(text, strlen(text) - 1);
	out_puts(",\"children\":[");
	return 0;
}

static int
put_json(struct tree *t, struct node *root)
{
	for (struct node *x = root, *next; x; x = next) {
		int r = put_open(t, x);

		if (r)
			return r;
		next = walk(x);
		if (next && next->parent == x)
			continue;
		for (struct node *p = x; p; p = p->parent) {
			out_puts("]}");
			if (next && next->parent == p->parent)
				break;
		}
		out_puts(next ? "," : "");
	}
	return 0;
}

static int
put_root(struct tree *t, struct node *root)
{
	if (t->cli->json)
		return put_json(t, root);
	for (struct node *x = root; x; x = walk(x)) {
		int r = put_line(t, x);

		if (r)
			return r;
	}
	return 0;
}

static int
show(struct tree *t)
{
	bool any = false;
	int r = 0;

	link_all(t);
	if (t->cli->json)
		out_puts("[");
	for (size_t i = 0; i < t->n && r == 0; i++) {
		if (t->nodes[i].parent)
			continue;
		if (t->cli->json)
			out_puts(any ? ",\n" : "\n");
		any = true;
		r = put_root(t, &t->nodes[i]);
	}
	if (t->cli->json)
		out_puts(any ? "\n]\n" : "]\n");
	return r;
}

int
cmd_tree(struct cli *cli, int argc, char **argv)
{
	struct tree t = {.cli = cli, .now = wall_to_usec(wall_now()), .columns = out_columns()};
	uint64_t id = 0;
	int r = options_parse(cli, &spec, NULL, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	if (argc > 1)
		return options_wrong(cli, "one id, or none");
	if (argc == 1 && options_id(cli, argv[0], &id) != 0)
		return EXITCODE_USAGE;
	t.color = out_color(cli);
	r = conn_open(cli, &t.c);
	if (r == 0)
		r = id ? find_below(&t, id) : find_live(&t);
	if (r == 0)
		r = show(&t);
	for (size_t i = 0; i < t.n; i++)
		json_decref(t.nodes[i].job);
	free(t.nodes);
	(void)ctxd_close(t.c);
	return r;
}
