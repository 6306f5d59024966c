/* idl.h - the text of io.ctxd.varlink, as it is served and installed. */
#ifndef CTX_API_IDL_H
#define CTX_API_IDL_H

extern const char idl_text[]; /* ended by NUL */

#endif
