/* idl.c - the interface description is one file; it is taken into the program as it is.
 *
 * The assembler finds it from the root of the tree, where make runs. That the file is a dependency
 * of this object stands in the Makefile: no compiler sees it. */
#include "api/idl.h"

__asm__(".pushsection .rodata, \"a\", %progbits\n"
	".global idl_text\n"
	".hidden idl_text\n"
	".type idl_text, %object\n"
	"idl_text:\n"
	".incbin \"daemon/api/io.ctxd.varlink\"\n"
	".byte 0\n"
	".size idl_text, . - idl_text\n"
	".popsection\n");
