/* store_mend.c - inner pages of tables made anew, see store_mend.h.
 *
 * The rows of a table lie in leaves, and what leads to these in inner pages, of which one may lead
 * to hundreds: with a root a whole table would be lost. But a database of ours is one with
 * auto_vacuum, so it has pointer maps, in which there is for each page which one leads to it. So
 * the pages below a lost one are known, and their rows say in which order they come.
 *
 * A page that leads to as much as the pointer maps say is left alone. Indexes are made anew as a
 * whole, so nothing is done for these. The format: https://sqlite.org/fileformat2.html */
#include "store/store_mend.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "store/store_copy.h"

enum {
	PAGE = STORE_COPY_PAGE,
	MAP_ENTRY = 5,
	MAP_PAGES = PAGE / MAP_ENTRY, /* that a map tells of: those right behind it */
	LOCK_PAGE = 0x40000000 / PAGE + 1,
	MAP_ROOT = 1,
	MAP_BELOW = 5, /* it is in a tree, and not its root */
	INDEX_INNER = 2,
	TABLE_INNER = 5,
	TABLE_LEAF = 13,
	INNER_HEAD = 12,
	LEAF_HEAD = 8,
	BELOW_MAX = (PAGE - INNER_HEAD) / 7 + 1,
	DEPTH_MAX = 8,
};

struct mend {
	int fd;
	uint32_t pages;
	uint8_t *kind;    /* owned, of page N at N: MAP_ROOT, MAP_BELOW, or what does not matter */
	uint32_t *parent; /* owned; of one that is MAP_BELOW */
	uint32_t *lost;   /* owned: pages that are to be made anew, n_lost */
	size_t n_lost;
};

/* A page below the one that is made anew. */
struct below {
	uint32_t page;
	int64_t first, last; /* rowids */
};

static uint32_t
be16at(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t
be32at(const uint8_t *p)
{
	return be16at(p) << 16 | be16at(p + 2);
}

/* Where cell I of the page P lies, whose head has HEAD bytes. */
static uint32_t
cell_at(const uint8_t *p, size_t head, size_t i)
{
	return be16at(p + head + 2 * i);
}

static void
put_be16(uint8_t *p, uint32_t x)
{
	p[0] = (uint8_t)(x >> 8);
	p[1] = (uint8_t)x;
}

static void
put_be32(uint8_t *p, uint32_t x)
{
	put_be16(p, x >> 16);
	put_be16(p + 2, x);
}

/* Bytes of the number at P, which ends before END; 0: it does not. */
static size_t
get_varint(const uint8_t *p, const uint8_t *end, uint64_t *ret)
{
	uint64_t v = 0;

	for (size_t i = 0; i < 9 && p + i < end; i++) {
		if (i == 8) {
			*ret = v << 8 | p[i];
			return 9;
		}
		v = v << 7 | (p[i] & 0x7f);
		if (!(p[i] & 0x80)) {
			*ret = v;
			return i + 1;
		}
	}
	return 0;
}

/* Of one that has eight bytes at most, as ids have. */
static size_t
put_varint(uint8_t *p, uint64_t v)
{
	size_t n = 1;

	for (uint64_t x = v >> 7; x > 0; x >>= 7)
		n++;
	for (size_t i = n; i-- > 0; v >>= 7)
		p[i] = (uint8_t)((v & 0x7f) | (i + 1 < n ? 0x80 : 0));
	return n;
}

static bool
read_page(const struct mend *m, uint32_t page, uint8_t *p)
{
	return pread(m->fd, p, PAGE, (off_t)(page - 1) * PAGE) == PAGE;
}

/* ---- what there is */

static void
read_maps(struct mend *m)
{
	uint8_t map[PAGE];
	uint32_t at = 2, first;

	for (; at <= m->pages; at += MAP_PAGES + 1) {
		first = at + (at == LOCK_PAGE) + 1;
		if (first - 1 > m->pages || !read_page(m, first - 1, map))
			return;
		for (uint32_t i = 0; i < MAP_PAGES && first + i <= m->pages; i++) {
			const uint8_t *entry = map + (size_t)i * MAP_ENTRY;

			m->kind[first + i] = entry[0];
			m->parent[first + i] = be32at(entry + 1);
		}
	}
}

static bool
is_below(const struct mend *m, uint32_t page, uint32_t parent)
{
	return page > 2 && page <= m->pages && m->kind[page] == MAP_BELOW &&
	       m->parent[page] == parent;
}

/* Does P, which is PAGE, lead where the maps say, as far as it leads anywhere? */
static bool
is_sound(const struct mend *m, uint32_t page, const uint8_t *p)
{
	uint32_t cells = be16at(p + 3), at;

	if ((p[0] != TABLE_INNER && p[0] != INDEX_INNER) || cells >= BELOW_MAX ||
	    !is_below(m, be32at(p + 8), page))
		return false;
	for (uint32_t i = 0; i < cells; i++) {
		at = cell_at(p, INNER_HEAD, i);
		if (at < INNER_HEAD + 2 * cells || at + 4 > PAGE ||
		    !is_below(m, be32at(p + at), page))
			return false;
	}
	return true;
}

/* ---- rows below a page */

/* The rowid of cell I of the leaf P. */
static bool
leaf_rowid(const uint8_t *p, uint32_t cells, uint32_t i, int64_t *ret)
{
	uint32_t at = cell_at(p, LEAF_HEAD, i);
	uint64_t bytes, id;
	size_t n;

	if (at < LEAF_HEAD + 2 * cells || at >= PAGE)
		return false;
	n = get_varint(p + at, p + PAGE, &bytes);
	if (n == 0 || get_varint(p + at + n, p + PAGE, &id) == 0 || id >> 56)
		return false;
	*ret = (int64_t)id;
	return true;
}

/* The first (the last) rowid at or below PAGE, whose type is to be TYPE unless that is 0. */
static bool
end_rowid(const struct mend *m, uint32_t page, int type, bool last, int64_t *ret)
{
	uint8_t p[PAGE];
	uint32_t cells, at;

	for (int depth = 0; depth < DEPTH_MAX && page > 2 && page <= m->pages; depth++) {
		if (!read_page(m, page, p) || (depth == 0 && type && p[0] != type))
			return false;
		cells = be16at(p + 3);
		if (p[0] == TABLE_LEAF)
			return cells > 0 && cells <= PAGE / 4 &&
			       leaf_rowid(p, cells, last ? cells - 1 : 0, ret);
		if (p[0] != TABLE_INNER || !is_sound(m, page, p))
			return false;
		at = last || cells == 0 ? 8 : cell_at(p, INNER_HEAD, 0);
		page = be32at(p + at);
	}
	return false;
}

static int
by_rowid(const void *a, const void *b)
{
	int64_t x = ((const struct below *)a)->first, y = ((const struct below *)b)->first;

	return (x > y) - (x < y);
}

/* Those below PAGE that are of TYPE, in order. */
static size_t
find_below(const struct mend *m, uint32_t page, int type, struct below *b)
{
	size_t n = 0, kept = 0;

	for (uint32_t i = 3; i <= m->pages && n < BELOW_MAX; i++)
		if (is_below(m, i, page) && end_rowid(m, i, type, false, &b[n].first) &&
		    end_rowid(m, i, type, true, &b[n].last) && b[n].first <= b[n].last)
			b[n++].page = i;
	qsort(b, n, sizeof(*b), by_rowid);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || b[i].first > b[kept - 1].last)
			b[kept++] = b[i];
	return kept;
}

/* Do the rows below P, which is sound, lie on the side of each of its numbers that these say, as
 * far as they can be read? */
static bool
is_in_order(const struct mend *m, const uint8_t *p)
{
	uint32_t cells = be16at(p + 3), at, next;
	uint64_t key;
	int64_t id;

	for (uint32_t i = 0; i < cells && p[0] == TABLE_INNER; i++) {
		at = cell_at(p, INNER_HEAD, i);
		next = i + 1 < cells ? cell_at(p, INNER_HEAD, i + 1) : 8;
		if (get_varint(p + at + 4, p + PAGE, &key) == 0 ||
		    (end_rowid(m, be32at(p + at), 0, true, &id) && (uint64_t)id > key) ||
		    (end_rowid(m, be32at(p + next), 0, false, &id) && (uint64_t)id <= key))
			return false;
	}
	return true;
}

/* Pages that lead to others, and not as they should. */
static int
find_lost(struct mend *m)
{
	_free_ uint8_t *leads = calloc(m->pages + 1, 1);
	uint8_t p[PAGE];

	if (!leads)
		return -ENOMEM;
	for (uint32_t i = 3; i <= m->pages; i++)
		if (m->kind[i] == MAP_BELOW && m->parent[i] <= m->pages)
			leads[m->parent[i]] = 1;
	for (uint32_t i = 3; i <= m->pages; i++)
		if (leads[i] && (m->kind[i] == MAP_ROOT || m->kind[i] == MAP_BELOW) &&
		    read_page(m, i, p) && !(is_sound(m, i, p) && is_in_order(m, p)))
			m->lost[m->n_lost++] = i;
	return 0;
}

/* Of what PAGE, as it is, leads to, so much can be read. What the maps say is another's is not. */
static size_t
count_listed(const struct mend *m, uint32_t page)
{
	uint8_t p[PAGE];
	uint32_t cells, at, child;
	size_t n = 0;
	int64_t id;

	if (!read_page(m, page, p) || p[0] != TABLE_INNER)
		return 0;
	cells = be16at(p + 3);
	for (uint32_t i = 0; i <= cells && i < BELOW_MAX; i++) {
		at = i < cells ? cell_at(p, INNER_HEAD, i) : 8;
		child = at + 4 > PAGE ? 0 : be32at(p + at);
		if (child > 2 && child <= m->pages &&
		    (m->kind[child] != MAP_BELOW || m->parent[child] == page) &&
		    end_rowid(m, child, 0, false, &id))
			n++;
	}
	return n;
}

/* ---- anew */

/* An inner page that leads to as many of B as there is room for. */
static void
make_inner(uint8_t *p, const struct below *b, size_t n)
{
	uint8_t cell[16];
	uint32_t at = PAGE, cells = 0, size;

	memset(p, 0, PAGE);
	for (; cells + 1 < n; cells++) {
		put_be32(cell, b[cells].page);
		size = (uint32_t)(4 + put_varint(cell + 4, (uint64_t)b[cells].last));
		if (at < INNER_HEAD + 2 * (cells + 1) + size)
			break;
		at -= size;
		memcpy(p + at, cell, size);
		put_be16(p + INNER_HEAD + (size_t)2 * cells, at);
	}
	p[0] = TABLE_INNER;
	put_be16(p + 3, cells);
	put_be16(p + 5, at);
	put_be32(p + 8, b[cells].page);
}

/* 1: it was made anew; 0: it would lead to nothing, or to less than it does; or -errno. */
static int
make_anew(const struct mend *m, uint32_t page, struct below *b)
{
	uint8_t p[PAGE];
	size_t n = find_below(m, page, TABLE_LEAF, b);

	if (n == 0)
		n = find_below(m, page, TABLE_INNER, b);
	if (n == 0 || n < count_listed(m, page))
		return 0;
	make_inner(p, b, n);
	return pwrite(m->fd, p, PAGE, (off_t)(page - 1) * PAGE) == PAGE ? 1 : -EIO;
}

/* Is one below PAGE among those that are left? */
static bool
waits(const struct mend *m, uint32_t page)
{
	for (size_t i = 0; i < m->n_lost; i++)
		if (is_below(m, m->lost[i], page))
			return true;
	return false;
}

/* Once over all that are left, but for those that wait. */
static int
make_some(struct mend *m, bool waiting, struct below *b, uint32_t *ret_pages)
{
	size_t left = 0;
	int r = 0;

	for (size_t i = 0; i < m->n_lost && r >= 0; i++) {
		r = !waiting && waits(m, m->lost[i]) ? 0 : make_anew(m, m->lost[i], b);
		*ret_pages += r > 0;
		if (r == 0)
			m->lost[left++] = m->lost[i];
		else /* nobody waits for it any more */
			m->lost[i] = 0;
	}
	m->n_lost = left;
	return r < 0 ? err_raise(r, "write to the copy") : 0;
}

/* The lowest first: what is above them leads to them. */
static int
make_all(struct mend *m, uint32_t *ret_pages)
{
	_free_ struct below *b = calloc(BELOW_MAX, sizeof(*b));
	bool waiting = false;
	int r = b ? 0 : -ENOMEM;

	while (r == 0 && m->n_lost > 0) {
		size_t before = m->n_lost;

		r = make_some(m, waiting, b, ret_pages);
		if (m->n_lost == before && waiting)
			break;
		waiting = m->n_lost == before;
	}
	return r;
}

int
store_mend(int fd, uint32_t *ret_pages)
{
	struct mend m = {.fd = fd};
	struct stat st;
	int r = -ENOMEM;

	*ret_pages = 0;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size / PAGE >= UINT32_MAX - 1)
		return 0;
	m.pages = (uint32_t)(st.st_size / PAGE);
	m.kind = calloc(m.pages + 1, sizeof(*m.kind));
	m.parent = calloc(m.pages + 1, sizeof(*m.parent));
	m.lost = calloc(m.pages + 1, sizeof(*m.lost));
	if (m.kind && m.parent && m.lost) {
		read_maps(&m);
		r = find_lost(&m);
	}
	if (r == 0 && m.n_lost > 0)
		r = make_all(&m, ret_pages);
	free(m.kind);
	free(m.parent);
	free(m.lost);
	return r;
}
