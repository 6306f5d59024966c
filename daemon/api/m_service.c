/* m_service.c - org.varlink.service: who answers here, and which interfaces there are. */
#include <string.h>

#include "api/conn.h"
#include "api/idl.h"
#include "api/methods.h"
#include "api/server.h"
#include "base/jw.h"

int
m_service_get_info(struct call *c, void *args)
{
	struct jw j;

	(void)args;
	varlink_reply_open(&j, &c->conn->out);
	jw_str(&j, "vendor", "ctx");
	jw_str(&j, "product", "ctxd");
	jw_str(&j, "version", c->api->version);
	jw_str(&j, "url", "");
	jw_arr_open(&j, "interfaces");
	jw_str(&j, NULL, "io.ctxd");
	jw_str(&j, NULL, "org.varlink.service");
	jw_arr_close(&j);
	varlink_reply_close(&j, false);
	return 0;
}

int
m_service_get_description(struct call *c, void *args)
{
	const struct args_interface *a = args;
	const char *text;
	struct jw j;

	if (strcmp(a->interface, "io.ctxd") == 0) {
		text = idl_text;
	} else if (strcmp(a->interface, "org.varlink.service") == 0) {
		text = varlink_service_idl;
	} else {
		c->parameter = a->interface;
		return CALL_E_INTERFACE;
	}
	varlink_reply_open(&j, &c->conn->out);
	jw_str(&j, "description", text);
	varlink_reply_close(&j, false);
	return 0;
}
