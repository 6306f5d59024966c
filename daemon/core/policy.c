/* policy.c - the configuration in memory: defaults, classes, rights. Defaults come from policy.def
 * and pass through the same parser as a file does, so that they cannot be something a file could
 * not say. */
#include "core/policy.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/policy_value.h"

struct policy_default {
	const char *text;
	size_t offset;
	int64_t min, max;
	enum policy_type type;
};

static const struct policy_default defaults[] = {
#define CONF(section, key, type, field, def, min, max, reach, doc)                                 \
	{def, offsetof(struct policy, field), (min), (max), POLICY_##type},
#include "core/policy.def"
#undef CONF
};

/* The columns of the tables must agree with the fields: a wrong type would write past one. */
#define SIZE_INT sizeof(int64_t)
#define SIZE_SIZE sizeof(int64_t)
#define SIZE_DUR sizeof(int64_t)
#define SIZE_SIGNAL sizeof(int64_t)
#define SIZE_COMMAND sizeof(char *)
#define SIZE_ONINTERRUPT sizeof(int64_t)
#define SIZE_OUTPUTTO sizeof(int64_t)
#define SIZE_PERCENT sizeof(int64_t)
#define SIZE_MODE sizeof(int64_t)
#define SIZE_LIMIT sizeof(int64_t)
#define SIZE_LIMITSIZE sizeof(int64_t)
#define SIZE_LIMITTIME sizeof(int64_t)
#define SIZE_NAMES sizeof(struct policy_names)
#define SIZE_ENVMODE sizeof(struct policy_env_mode)
#define CONF(section, key, type, field, def, min, max, reach, doc)                                 \
	_Static_assert(sizeof(((struct policy *)0)->field) == SIZE_##type, #section "." #key);     \
	_Static_assert((min) <= (max), #section "." #key);
#include "core/policy.def"
#undef CONF
#define CLASS_CONF(key, type, field, min, max, reach, doc)                                         \
	_Static_assert(sizeof(((struct policy_class *)0)->field) == SIZE_##type, #key);            \
	_Static_assert((min) <= (max), #key);
#include "core/class.def"
#undef CLASS_CONF

struct policy *
policy_new(void)
{
	_cleanup_(policy_freep) struct policy *p = calloc(1, sizeof(*p));
	const char *reason;
	int r;

	if (!p)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(defaults); i++) {
		const struct policy_default *d = &defaults[i];

		r = policy_value_parse(d->type, d->text, d->min, d->max, (char *)p + d->offset,
				       &reason);
		if (r == -ENOMEM)
			return NULL;
		assert(r == 0);
	}
	return take_ptr(p);
}

struct policy *
policy_free(struct policy *p)
{
	struct policy_class *c, *next;

	if (!p)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(defaults); i++)
		policy_value_done(defaults[i].type, (char *)p + defaults[i].offset);
	for (c = p->classes; c; c = next) {
		next = c->next;
		free(c);
	}
	policy_ids_done(&p->admin_ids);
	policy_ids_done(&p->exporter_ids);
	free(p);
	return NULL;
}

const struct policy_class *
policy_class_find(const struct policy *p, const char *name)
{
	if (!name)
		return NULL;
	for (const struct policy_class *c = p->classes; c; c = c->next)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

bool
policy_class_known(const struct policy *p, const char *name)
{
	return name && (strcmp(name, "default") == 0 || policy_class_find(p, name));
}

static bool
id_in(uint32_t id, const uint32_t *ids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ids[i] == id)
			return true;
	return false;
}

void
policy_ids_done(struct policy_ids *ids)
{
	free(ids->uids);
	free(ids->gids);
	*ids = (struct policy_ids){0};
}

static bool
is_of(const struct policy_ids *ids, uint32_t uid, uint32_t gid, const uint32_t *groups,
      size_t n_groups)
{
	if (id_in(uid, ids->uids, ids->n_uids) || id_in(gid, ids->gids, ids->n_gids))
		return true;
	for (size_t i = 0; i < n_groups; i++)
		if (id_in(groups[i], ids->gids, ids->n_gids))
			return true;
	return false;
}

bool
policy_is_admin(const struct policy *p, uint32_t uid, uint32_t gid, const uint32_t *groups,
		size_t n_groups)
{
	return uid == 0 || is_of(&p->admin_ids, uid, gid, groups, n_groups);
}

bool
policy_is_exporter(const struct policy *p, uint32_t uid, uint32_t gid, const uint32_t *groups,
		   size_t n_groups)
{
	return policy_is_admin(p, uid, gid, groups, n_groups) ||
	       is_of(&p->exporter_ids, uid, gid, groups, n_groups);
}

static bool
name_in(const struct policy_names *names, const char *name, size_t n)
{
	for (size_t i = 0; i < names->n; i++)
		if (strncmp(names->v[i], name, n) == 0 && names->v[i][n] == '\0')
			return true;
	return false;
}

bool
policy_env_taken(const struct policy *p, const char *name, size_t n)
{
	if (name_in(&p->env_deny, name, n))
		return false;
	switch (p->env_mode.mode) {
	case ENV_MODE_ALL:
		return true;
	case ENV_MODE_NONE:
		return false;
	case ENV_MODE_LIST:
		return name_in(&p->env_mode.names, name, n);
	}
	assert_not_reached("environment mode");
}
