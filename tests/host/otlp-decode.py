"""otlp-decode.py FILE... - requests of OTLP/HTTP in JSON, read with the official protobuf definitions: a line a span as JSON. Any
member, type or enumeration that they do not know is an error. Runs where python3-opentelemetry-proto is (Debian 13)."""
import base64
import json
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

IDS = {"traceId": 16, "spanId": 8, "parentSpanId": 8}


def ids_as_bytes(node):
    """OTLP writes ids in hexadecimal; the JSON mapping of protobuf has base64 for bytes. That is the one difference."""
    if isinstance(node, list):
        return [ids_as_bytes(n) for n in node]
    if not isinstance(node, dict):
        return node
    return {k: base64.b64encode(bytes.fromhex(v)).decode() if k in IDS else ids_as_bytes(v) for k, v in node.items()}


for path in sys.argv[1:]:
    with open(path, "rb") as f:
        request = json_format.ParseDict(ids_as_bytes(json.load(f)), ExportTraceServiceRequest())
    assert ExportTraceServiceRequest.FromString(request.SerializeToString()) == request
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for s in scope.spans:
                assert len(s.trace_id) == 16 and len(s.span_id) == 8 and len(s.parent_span_id) in (0, 8), s
                assert 0 < s.start_time_unix_nano <= s.end_time_unix_nano, s
                print(json.dumps({"trace": s.trace_id.hex(), "id": s.span_id.hex(), "parent": s.parent_span_id.hex(), "name": s.name,
                                  "kind": s.SpanKind.Name(s.kind), "status": s.status.StatusCode.Name(s.status.code),
                                  "attributes": {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in s.attributes},
                                  "service": {a.key: a.value.string_value for a in resource.resource.attributes}["service.name"],
                                  "events": [e.name for e in s.events], "links": [x.span_id.hex() for x in s.links]}))
