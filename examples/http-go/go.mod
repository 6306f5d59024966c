module example.invalid/ctxd-http

go 1.19
