/* rnd.h - numbers that look random and are the same in each run. */
#ifndef CTX_TESTS_RND_H
#define CTX_TESTS_RND_H

#include <stdint.h>

/* 0 to BELOW - 1. */
__attribute__((unused)) static uint64_t
rnd(uint64_t below)
{
	static uint64_t seed = UINT64_C(88172645463325252);

	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

#endif
