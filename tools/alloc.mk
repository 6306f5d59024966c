# Programs whose allocations can be made to fail one by one: tests/unit/alloc.h. Included by the Makefile.
comma := ,
ALLOC_CALLS := malloc calloc realloc reallocarray strdup strndup vasprintf __vasprintf_chk scandir free
$(B)/tests/unit/test_alloc_%: override LDFLAGS += $(ALLOC_CALLS:%=-Wl$(comma)--wrap=%)
$(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/test_alloc_*.c)): tests/unit/alloc.h
