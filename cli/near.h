/* near.h - what a mistyped word may have meant. */
#ifndef CTX_CLI_NEAR_H
#define CTX_CLI_NEAR_H

#include <stddef.h>

struct near {
	const char *word; /* borrowed */
	const char *best; /* NULL: nothing is near enough */
	size_t distance;
};
void near_init(struct near *n, const char *word);
void near_offer(struct near *n, const char *candidate);

#endif
