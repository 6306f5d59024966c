/* near.c - what a mistyped word may have meant: the smallest number of letters to insert, remove,
 * replace or swap. */
#include <string.h>

#include "cli/near.h"

enum { WORD_MAX = 24 };

static size_t
least(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;

	return m < c ? m : c;
}

static size_t
distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	size_t d[WORD_MAX + 1][WORD_MAX + 1];

	if (n > WORD_MAX || m > WORD_MAX)
		return WORD_MAX;
	for (size_t i = 0; i <= n; i++)
		d[i][0] = i;
	for (size_t k = 0; k <= m; k++)
		d[0][k] = k;
	for (size_t i = 1; i <= n; i++)
		for (size_t k = 1; k <= m; k++) {
			d[i][k] = least(d[i - 1][k] + 1, d[i][k - 1] + 1,
					d[i - 1][k - 1] + (a[i - 1] != b[k - 1]));
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1] &&
			    d[i - 2][k - 2] + 1 < d[i][k])
				d[i][k] = d[i - 2][k - 2] + 1;
		}
	return d[n][m];
}

void
near_init(struct near *n, const char *word)
{
	size_t len = strlen(word);

	n->word = word;
	n->best = NULL;
	n->distance = (len < 6 ? 1 : len / 3) + 1; /* must be less than this */
}

void
near_offer(struct near *n, const char *candidate)
{
	size_t len = strlen(n->word), d = distance(n->word, candidate);

	if (len >= 2 && strncmp(n->word, candidate, len) == 0)
		d = 0;
	if (d >= n->distance)
		return;
	n->distance = d;
	n->best = candidate;
}
