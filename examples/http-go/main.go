// An HTTP handler that starts work which must outlive its request: answers 202 at once, and the client may vanish.
//
//	POST /transcodes    starts a job; Idempotency-Key, X-Request-Id and traceparent travel along
//	GET  /transcodes/7  tells how far job 7 is
//
// Go's standard library alone: a call is one JSON object ended by a zero byte, over a Unix socket. Run it with
//
//	CTXD_SOCKET=/run/ctxd/ctxd.sock go run . 8080
//
// Within the handler r.Context() ends with the request; the job's context does not: ctxd keeps its values and trace, and
// gives it a deadline of its own.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

func getenv(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

var (
	socket  = getenv("CTXD_SOCKET", "/run/ctxd/ctxd.sock")
	command = []string{"sh", "-c", getenv("TRANSCODE", "sleep 10; echo done with $CTX_VALUE_REQUEST_ID")}
)

// ctxdError is an error of the interface: KeyConflict, QueueFull, NoSuchJob...
type ctxdError struct {
	Name       string
	Parameters map[string]any
}

func (e *ctxdError) Error() string { return fmt.Sprintf("%s: %v", e.Name, e.Parameters) }

// call makes one call of io.ctxd over a connection of its own and decodes the reply's parameters into reply.
func call(method string, parameters map[string]any, reply any) error {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	message, err := json.Marshal(map[string]any{"method": "io.ctxd." + method, "parameters": parameters})
	if err != nil {
		return err
	}
	if _, err = c.Write(append(message, 0)); err != nil {
		return err
	}
	data, err := bufio.NewReader(c).ReadBytes(0)
	if err != nil {
		return err
	}
	var answer struct {
		Error      string
		Parameters json.RawMessage
	}
	if err = json.Unmarshal(data[:len(data)-1], &answer); err != nil {
		return err
	}
	if answer.Error != "" {
		e := &ctxdError{Name: answer.Error[strings.LastIndex(answer.Error, ".")+1:]}
		_ = json.Unmarshal(answer.Parameters, &e.Parameters)
		return e
	}
	return json.Unmarshal(answer.Parameters, reply)
}

type job struct {
	ID       int64  `json:"id"`
	State    string `json:"state"`
	Deadline string `json:"deadline_at"`
	Progress any    `json:"progress"`
	ExitCode *int   `json:"exit_code"`
	Cause    string `json:"cause"`
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func fail(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	if e, ok := err.(*ctxdError); ok {
		switch e.Name {
		case "KeyConflict":
			status = http.StatusConflict
		case "InvalidArgument":
			status = http.StatusBadRequest
		case "NoSuchJob":
			status = http.StatusNotFound
		}
	}
	answer(w, status, map[string]any{"error": err.Error()})
}

func start(w http.ResponseWriter, r *http.Request) {
	parameters := map[string]any{
		"argv":   command,
		"cwd":    "/",
		"env":    map[string]string{"PATH": "/usr/local/bin:/usr/bin:/bin"},
		"name":   "transcode",
		"values": map[string]string{"request_id": r.Header.Get("X-Request-Id")},
	}
	for parameter, header := range map[string]string{
		"key": "Idempotency-Key", "traceparent": "traceparent", "tracestate": "tracestate", "baggage": "baggage",
	} {
		if v := r.Header.Get(header); v != "" {
			parameters[parameter] = v
		}
	}
	var reply struct{ Job job }
	if err := call("Submit", parameters, &reply); err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Location", fmt.Sprintf("/transcodes/%d", reply.Job.ID))
	answer(w, http.StatusAccepted, map[string]any{"id": reply.Job.ID, "deadline": reply.Job.Deadline})
}

func show(w http.ResponseWriter, id int64) {
	var reply struct{ Job job }
	if err := call("Get", map[string]any{"id": id}, &reply); err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, reply.Job)
}

func main() {
	http.HandleFunc("/transcodes", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			answer(w, http.StatusMethodNotAllowed, map[string]any{"error": "POST starts a transcode"})
			return
		}
		start(w, r)
	})
	http.HandleFunc("/transcodes/", func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.ParseInt(strings.TrimPrefix(r.URL.Path, "/transcodes/"), 10, 64)
		if err != nil {
			answer(w, http.StatusNotFound, map[string]any{"error": "no such path"})
			return
		}
		show(w, id)
	})
	port := "8080"
	if len(os.Args) > 1 {
		port = os.Args[1]
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s/\n", l.Addr())
	log.Fatal(http.Serve(l, nil))
}
