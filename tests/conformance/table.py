# SPDX-License-Identifier: MIT
"""Raw requests and what HTTP wants of them.

Each row: (name, section, request, statuses, connection, exceptions).

section     the RFC and section that the row rests on
statuses    those that are right; NONE among them: an end without an answer is right too
connection  CLOSE: exactly one answer, then the end: what stands behind is never run.
            KEEP: a further request on the connection is answered.
            EITHER: as CLOSE or as KEEP.
exceptions  {"node": (statuses, connection)} or {"gateway": …} where one of the two has its own
            reason to differ; the row says which

In requests, SNAPSHOT stands for the path of a query that takes a POST, IMPORT for one that takes a
body of any size, ADDR for host:port of the server.
"""

CLOSE, KEEP, EITHER = "close", "keep", "either"
NONE = 0

LIVE = b"/health/live"
HOST = b"Host: x\r\n"
QUERY = b'{"limit":1}'  # eleven bytes
OK, BAD, LARGE, HEAD_LARGE = {200}, {400}, {413}, {431}


def get(target=LIVE, headers=HOST, version=b"HTTP/1.1", method=b"GET"):
    return method + b" " + target + b" " + version + b"\r\n" + headers + b"\r\n"


def post(headers, body=QUERY, version=b"HTTP/1.1", target=b"SNAPSHOT", host=HOST):
    return b"POST " + target + b" " + version + b"\r\n" + host + headers + b"\r\n" + body


def length(value, body=QUERY):
    return post(b"Content-Length: " + value + b"\r\n", body)


def chunked(body, headers=b"", version=b"HTTP/1.1"):
    return post(b"Transfer-Encoding: chunked\r\n" + headers, body, version)


def many(count):
    return b"".join(b"X-%d: y\r\n" % i for i in range(count))


WHOLE = b"b\r\n" + QUERY + b"\r\n0\r\n\r\n"

START_LINE = [
    ("a plain request is answered", "9112 3", get(), OK, KEEP),
    ("one empty line before a request is skipped", "9112 2.2", b"\r\n" + get(), OK, KEEP),
    ("two empty lines are not", "9112 2.2", b"\r\n\r\n" + get(), BAD, CLOSE),
    ("spaces before the method", "9112 2.2", b"  " + get(), BAD, CLOSE),
    ("a tab before the method", "9112 2.2", b"\t" + get(), BAD, CLOSE),
    ("a line that ends in LF alone", "9112 2.2", get().replace(b"\r\n", b"\n"), BAD, CLOSE),
    ("a request line that ends in LF alone", "9112 2.2",
     b"GET /health/live HTTP/1.1\nHost: x\r\n\r\n", BAD, CLOSE),
    ("a request line that ends in CR alone", "9112 2.2",
     b"GET /health/live HTTP/1.1\rHost: x\r\n\r\n", BAD, CLOSE),
    ("two spaces behind the method", "9112 3", b"GET  /health/live HTTP/1.1\r\n" + HOST + b"\r\n",
     BAD, CLOSE),
    ("two spaces before the version", "9112 3", b"GET /health/live  HTTP/1.1\r\n" + HOST + b"\r\n",
     BAD, CLOSE),
    ("a space behind the version", "9112 3", b"GET /health/live HTTP/1.1 \r\n" + HOST + b"\r\n",
     BAD, CLOSE),
    ("a tab between method and target", "9112 3", b"GET\t/health/live HTTP/1.1\r\n" + HOST + b"\r\n",
     BAD, CLOSE),
    ("a vertical tab between method and target", "9112 3",
     b"GET\x0b/health/live HTTP/1.1\r\n" + HOST + b"\r\n", BAD, CLOSE),
    ("no version: HTTP/0.9", "9112 2.3", b"GET /health/live\r\n" + HOST + b"\r\n", BAD, CLOSE),
    ("no target", "9112 3", b"GET HTTP/1.1\r\n" + HOST + b"\r\n", BAD, CLOSE),
    ("a space within the target", "9112 3.2", get(b"/health/ live"), BAD, CLOSE),
    ("only an empty head", "9112 3", b"\r\n\r\n", {400, NONE}, CLOSE),
    ("TLS instead of HTTP", "9112 3", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", BAD,
     CLOSE),
    ("the preface of HTTP/2", "9113 3.4", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD, CLOSE),
    ("a NUL in the request line", "9112 3", get(b"/health/li\0ve"), BAD, CLOSE),
]

VERSIONS = [
    ("HTTP/1.0 without Host", "9110 7.2", get(headers=b"", version=b"HTTP/1.0"), OK, CLOSE),
    ("HTTP/1.0 with keep-alive", "9112 9.3",
     get(headers=HOST + b"Connection: keep-alive\r\n", version=b"HTTP/1.0"), OK, EITHER),
    ("HTTP/1.2", "9110 2.5", get(version=b"HTTP/1.2"), BAD, CLOSE),
    ("HTTP/2.0", "9110 2.5", get(version=b"HTTP/2.0"), BAD, CLOSE),
    ("HTTP/0.9 by name", "9112 2.3", get(version=b"HTTP/0.9"), BAD, CLOSE),
    ("the version in lower case", "9112 2.3", get(version=b"http/1.1"), BAD, CLOSE),
    ("a version of two digits", "9112 2.3", get(version=b"HTTP/1.10"), BAD, CLOSE),
    ("a version with a sign", "9112 2.3", get(version=b"HTTP/+1.1"), BAD, CLOSE),
    ("a version without a dot", "9112 2.3", get(version=b"HTTP/11"), BAD, CLOSE),
    ("another protocol", "9112 2.3", get(version=b"ICAP/1.0"), BAD, CLOSE),
    ("a version with leading zeros", "9112 2.3", get(version=b"HTTP/01.1"), BAD, CLOSE),
]

METHODS = [
    ("HEAD has no body", "9110 9.3.2", get(method=b"HEAD"), OK, KEEP),
    ("a method in lower case is another one", "9110 9.1", get(method=b"get"), {400, 405}, EITHER),
    ("a known method that is not for this path", "9110 15.5.6", get(method=b"DELETE"), {405}, KEEP),
    ("a method that nobody knows", "9110 9.1", get(method=b"FROBNICATE"), {400, 405}, EITHER),
    ("TRACE shows nobody's headers", "9110 9.3.8", get(method=b"TRACE"), {400, 405}, EITHER),
    ("CONNECT makes no tunnel", "9110 9.3.6", get(b"x:80", method=b"CONNECT"), {400, 405}, CLOSE),
    ("OPTIONS * is answered, not dropped", "9112 3.2.4", get(b"*", method=b"OPTIONS"), {400, 405},
     EITHER),
    ("an asterisk is for OPTIONS only", "9112 3.2.4", get(b"*"), BAD, CLOSE,
     {"gateway": ({400, 405}, EITHER)}),
    ("a method that is no token", "9110 5.6.2", get(method=b"GE(T"), BAD, CLOSE),
    ("an empty method", "9112 3.1", b" /health/live HTTP/1.1\r\n" + HOST + b"\r\n", BAD, CLOSE),
    ("PUT on a path for POST", "9110 15.5.6", get(b"SNAPSHOT", method=b"PUT",
                                                  headers=HOST + b"Content-Length: 0\r\n"), {405},
     KEEP),
    ("Upgrade is not followed", "9110 7.8",
     get(headers=HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"), OK, EITHER),
    ("h2c is not followed", "9110 7.8",
     get(headers=HOST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
         b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"), OK, EITHER),
]

TARGETS = [
    ("the absolute form of this server", "9112 3.2.2",
     get(b"http://ADDR/health/live", b"Host: ADDR\r\n"), OK, EITHER),
    ("the absolute form of another server is answered, not dropped", "9112 3.2.2",
     get(b"http://elsewhere.example/health/live", b"Host: elsewhere.example\r\n"), BAD, CLOSE,
     # A gateway is asked under any name that its clients know it by.
     {"gateway": ({200, 400}, EITHER)}),
    ("a scheme that is not HTTP", "9112 3.2.2", get(b"ftp://x/health/live"), BAD, CLOSE),
    ("the authority form without CONNECT", "9112 3.2.3", get(b"x:80"), BAD, CLOSE),
    ("a relative path", "9112 3.2.1", get(b"health/live"), BAD, CLOSE),
    ("a fragment", "3986 3.5", get(b"/health/live#x"), BAD, CLOSE),
    ("a query that is not taken", "3986 3.4", get(b"/health/live?x=1"), BAD, EITHER),
    ("an empty query", "3986 3.4", get(b"/health/live?"), OK, KEEP),
    ("percent-encoding of plain letters", "3986 6.2.2.2", get(b"/h%65alth/live"), OK, KEEP),
    ("percent-encoding in lower case", "3986 6.2.2.1", get(b"/health%2flive"), BAD, EITHER),
    ("an encoded slash", "3986 2.2", get(b"/health%2Flive"), BAD, EITHER),
    ("an encoded NUL", "3986 7.3", get(b"/health/live%00"), BAD, EITHER),
    ("a broken escape", "3986 2.1", get(b"/health/li%v"), BAD, EITHER),
    ("half an escape at the end", "3986 2.1", get(b"/health/live%2"), BAD, EITHER),
    ("an escape that is no UTF-8", "3986 2.5", get(b"/health/%ff"), BAD, EITHER),
    ("a dot segment", "3986 5.2.4", get(b"/health/./live"), BAD, EITHER),
    ("two dots", "3986 5.2.4", get(b"/x/../health/live"), BAD, EITHER),
    ("two dots, encoded", "3986 5.2.4", get(b"/x/%2e%2e/health/live"), BAD, EITHER),
    ("an empty segment", "3986 3.3", get(b"//health/live"), BAD, EITHER),
    ("a backslash is no separator", "3986 3.3", get(b"/x\\..\\health\\live"), {400, 404}, EITHER),
    ("bytes above 127 in the target", "3986 2", get(b"/health/\xc3\xa9"), {400, 404}, EITHER),
    ("a control character in the target", "3986 2", get(b"/health/\x01"), BAD, CLOSE),
    ("a DEL in the target", "3986 2", get(b"/health/\x7f"), BAD, CLOSE),
    ("a target of 2,000 bytes that is nowhere", "9112 3", get(b"/" + b"a" * 1000), {400, 404},
     EITHER),
]

HOSTS = [
    ("no Host", "9112 3.2", get(headers=b""), BAD, CLOSE),
    ("two Hosts", "9112 3.2", get(headers=HOST + HOST), BAD, CLOSE),
    ("two Hosts that differ", "9112 3.2", get(headers=HOST + b"hOST: y\r\n"), BAD, CLOSE),
    ("two Hosts on HTTP/1.0", "9112 3.2", get(headers=HOST + HOST, version=b"HTTP/1.0"), BAD,
     CLOSE),
    ("an empty Host", "9110 7.2", get(headers=b"Host:\r\n"), OK, KEEP,
     # An http URI has a host (RFC 9110 section 4.2.1), and a gateway serves nothing else.
     {"gateway": (BAD, CLOSE)}),
    ("a Host with a port", "9110 7.2", get(headers=b"Host: x:8080\r\n"), OK, KEEP),
    ("a Host that is an IPv6 literal", "3986 3.2.2", get(headers=b"Host: [::1]:8080\r\n"), OK, KEEP),
    ("a Host with a path", "9110 7.2", get(headers=b"Host: x/y\r\n"), BAD, CLOSE),
    ("a Host with a user", "9110 7.2", get(headers=b"Host: a@x\r\n"), BAD, CLOSE),
    ("a Host with a query", "9110 7.2", get(headers=b"Host: x?y\r\n"), BAD, CLOSE),
    ("a Host with a space", "9110 7.2", get(headers=b"Host: x y\r\n"), BAD, CLOSE),
    ("a list of Hosts", "9110 7.2", get(headers=b"Host: x, y\r\n"), BAD, CLOSE),
    ("a Host with bytes above 127", "3986 3.2.2", get(headers=b"Host: \xc3\xa9\r\n"), BAD, CLOSE),
]

FIELDS = [
    ("a value between spaces and tabs", "9110 5.5", get(headers=b"Host: \t x \t\r\n"), OK, KEEP,
     # civetweb takes a tab for a control character.
     {"node": (BAD, CLOSE)}),
    ("no space behind the colon", "9112 5", get(headers=b"Host:x\r\n"), OK, KEEP),
    ("names in any case", "9110 5.1", get(headers=b"hOsT: x\r\n"), OK, KEEP),
    ("an empty value", "9110 5.5", get(headers=HOST + b"X-Empty:\r\n"), OK, KEEP),
    ("bytes above 127 in a value", "9110 5.5", get(headers=HOST + b"X-Name: \xe9\r\n"), OK, KEEP),
    ("a space before the colon", "9112 5.1", get(headers=b"Host : x\r\n"), BAD, CLOSE),
    ("a tab before the colon", "9112 5.1", get(headers=HOST + b"X-A\t: y\r\n"), BAD, CLOSE),
    ("a space before the colon of a length", "9112 5.1",
     post(b"Content-Length : 11\r\n"), BAD, CLOSE),
    ("a folded line", "9112 5.2", get(headers=HOST + b"X-A: y\r\n z\r\n"), BAD, CLOSE),
    ("a line folded by a tab", "9112 5.2", get(headers=HOST + b"X-A: y\r\n\tz\r\n"), BAD, CLOSE),
    ("a fold that holds a length", "9112 5.2",
     post(b"X-A: y\r\n Content-Length: 11\r\n"), BAD, CLOSE),
    ("a first line that begins with a space", "9112 2.2", get(headers=b" Host: x\r\n"), BAD, CLOSE),
    ("a space line before the headers", "9112 2.2", get(headers=b" \r\nHost: x\r\n"), BAD, CLOSE),
    ("a name with a space", "9110 5.1", get(headers=HOST + b"X A: y\r\n"), BAD, CLOSE),
    ("no name", "9110 5.1", get(headers=HOST + b": y\r\n"), BAD, CLOSE),
    ("no colon", "9112 5", get(headers=HOST + b"nonsense\r\n"), BAD, CLOSE),
    ("a name that is no token", "9110 5.6.2", get(headers=HOST + b"X(A): y\r\n"), BAD, CLOSE),
    ("a quoted name", "9110 5.6.2", get(headers=HOST + b'"X-A": y\r\n'), BAD, CLOSE),
    ("bytes above 127 in a name", "9110 5.1", get(headers=HOST + b"X-\xc3\xa9: y\r\n"), BAD, CLOSE),
    ("a NUL in a name", "9110 5.1", get(headers=HOST + b"X-\0A: y\r\n"), BAD, CLOSE),
    ("a NUL in a value", "9110 5.5", get(headers=HOST + b"X-A: a\0b\r\n"), BAD, CLOSE),
    ("a bare CR in a value", "9110 5.5", get(headers=HOST + b"X-A: a\rb\r\n"), BAD, CLOSE),
    ("a bare CR that hides a header", "9112 2.2",
     get(headers=HOST + b"X-A: a\rContent-Length: 11\r\n"), BAD, CLOSE),
    ("a bare LF in a value", "9110 5.5", get(headers=HOST + b"X-A: a\nX-B: b\r\n"), BAD, CLOSE),
    ("a bare LF at the end of the head", "9112 2.2",
     b"GET /health/live HTTP/1.1\r\nHost: x\r\n\n", {400, NONE}, CLOSE),
    ("a control character in a value", "9110 5.5", get(headers=HOST + b"X-A: \x01\r\n"), BAD,
     CLOSE),
    ("a DEL in a value", "9110 5.5", get(headers=HOST + b"X-A: \x7f\r\n"), BAD, CLOSE),
    ("an escape sequence in a value", "9110 17.1", get(headers=HOST + b"X-A: \x1b[2J\r\n"), BAD,
     CLOSE),
    ("64 headers", "6585 5", get(headers=HOST + many(63)), OK, KEEP),
    ("65 headers", "6585 5", get(headers=HOST + many(64)), HEAD_LARGE, CLOSE),
    ("a length that is the 65th header", "9112 11.2",
     post(many(63) + b"Content-Length: 11\r\n"), HEAD_LARGE, CLOSE),
    ("a coding that is the 65th header", "9112 11.2",
     post(b"Content-Length: 0\r\n" + many(62) + b"Transfer-Encoding: chunked\r\n", WHOLE),
     HEAD_LARGE, CLOSE),
    ("200 headers", "6585 5", get(headers=HOST + many(200)), HEAD_LARGE, CLOSE),
    ("a header of 16 KB", "9110 5.4", get(headers=HOST + b"X-A: " + b"y" * 16384 + b"\r\n"), OK,
     KEEP),
    ("a header of 33 KB", "6585 5", get(headers=HOST + b"X-A: " + b"y" * 33000 + b"\r\n"),
     HEAD_LARGE, CLOSE),
    ("a name of 33 KB", "6585 5", get(headers=HOST + b"X" * 33000 + b": y\r\n"), HEAD_LARGE, CLOSE),
    ("a target of 33 KB", "9112 3", get(b"/" + b"a" * 33000), {400, 431}, CLOSE),
]

LENGTHS = [
    ("a body with its length", "9112 6.2", length(b"11"), OK, KEEP),
    ("leading zeros", "9110 8.6", length(b"0011"), OK, KEEP),
    ("a length of zero", "9110 8.6", length(b"0", b""), OK, KEEP),
    ("no length and no coding: no body", "9112 6.3", post(b"", b""), OK, KEEP),
    ("a plus sign", "9110 8.6", length(b"+11"), BAD, CLOSE),
    ("a minus sign", "9110 8.6", length(b"-11"), BAD, CLOSE),
    ("minus zero", "9110 8.6", length(b"-0", b""), BAD, CLOSE),
    ("an underscore", "9110 8.6", length(b"1_1"), BAD, CLOSE),
    ("trailing letters", "9110 8.6", length(b"11x"), BAD, CLOSE),
    ("only letters", "9110 8.6", length(b"eleven"), BAD, CLOSE),
    ("inner space", "9110 8.6", length(b"1 1"), BAD, CLOSE),
    ("hexadecimal", "9110 8.6", length(b"0xb"), BAD, CLOSE),
    ("hexadecimal that reads as 0", "9110 8.6", length(b"0x22"), BAD, CLOSE),
    ("a decimal point", "9110 8.6", length(b"11.0"), BAD, CLOSE),
    ("an exponent", "9110 8.6", length(b"11e0"), BAD, CLOSE),
    ("an empty length", "9110 8.6", length(b""), BAD, CLOSE),
    ("a list of two that agree", "9110 8.6", length(b"11, 11"), BAD, CLOSE),
    ("a list of two that differ", "9112 6.3", length(b"11, 0"), BAD, CLOSE),
    ("a length in quotes", "9110 8.6", length(b'"11"'), BAD, CLOSE),
    ("a length with a comment", "9110 8.6", length(b"11;x"), BAD, CLOSE),
    ("digits of another script", "9110 8.6", length("١١".encode()), BAD, CLOSE),
    ("twice the same", "9112 6.3", post(b"Content-Length: 11\r\nContent-Length: 11\r\n"), BAD,
     CLOSE),
    ("two that differ, the first less", "9112 11.2",
     post(b"Content-Length: 0\r\nContent-Length: 11\r\n"), BAD, CLOSE),
    ("two that differ, the first more", "9112 11.2",
     post(b"Content-Length: 11\r\nContent-Length: 0\r\n"), BAD, CLOSE),
    ("beyond 64 bits", "9112 6.3", length(b"18446744073709551627"), {400, 413}, CLOSE),
    ("beyond what is accepted", "9110 15.5.14", length(b"99999999999"), LARGE, CLOSE),
    ("beyond what is accepted, waiting for 100", "9110 10.1.1",
     post(b"Content-Length: 99999999999\r\nExpect: 100-continue\r\n", b""), LARGE, CLOSE),
    ("a body on a GET is read, not run", "9110 9.3.1",
     get(headers=HOST + b"Content-Length: 27\r\n") + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", {200, 400},
     EITHER),
    ("a body on a refused path is read, not run", "9112 9.3",
     post(b"Content-Length: 11\r\n", target=b"/nowhere"), {404}, EITHER),
    ("a body on a refused method is read, not run", "9112 9.3",
     post(b"Content-Length: 11\r\n", target=LIVE), {405}, EITHER),
]

CODINGS = [
    ("a chunked body", "9112 7.1", chunked(WHOLE), OK, EITHER),
    ("the coding in any case", "9112 7", post(b"Transfer-Encoding: ChUnKeD\r\n", WHOLE), OK, EITHER),
    ("an empty chunked body", "9112 7.1", chunked(b"0\r\n\r\n"), OK, EITHER),
    ("sizes with leading zeros and in capitals", "9112 7.1",
     chunked(b"000B\r\n" + QUERY + b"\r\n000\r\n\r\n"), OK, EITHER),
    ("an extension", "9112 7.1.1", chunked(b"b;a=b\r\n" + QUERY + b"\r\n0;c\r\n\r\n"), OK, EITHER),
    ("a trailer", "9112 7.1.2", chunked(b"b\r\n" + QUERY + b"\r\n0\r\nX-A: y\r\n\r\n"), OK, EITHER),
    ("a trailer that names a length", "9110 6.5.1",
     chunked(b"b\r\n" + QUERY + b"\r\n0\r\nContent-Length: 99\r\n\r\n"), {200, 400}, EITHER),
    ("a length beside chunks", "9112 6.3", chunked(WHOLE, b"Content-Length: 11\r\n"), BAD, CLOSE),
    ("a length of zero beside chunks", "9112 11.2", chunked(WHOLE, b"Content-Length: 0\r\n"), BAD,
     CLOSE),
    ("a length before chunks", "9112 6.3",
     post(b"Content-Length: 26\r\nTransfer-Encoding: chunked\r\n", WHOLE), BAD, CLOSE),
    ("chunked twice in two headers", "9112 6.1",
     chunked(WHOLE, b"Transfer-Encoding: chunked\r\n"), BAD, CLOSE),
    ("chunked twice in one", "9112 6.1",
     post(b"Transfer-Encoding: chunked, chunked\r\n", WHOLE), BAD, CLOSE),
    ("chunked in HTTP/1.0", "9112 6.1", chunked(WHOLE, version=b"HTTP/1.0"), BAD, CLOSE),
    ("identity", "9112 7", post(b"Transfer-Encoding: identity\r\n", b""), BAD, CLOSE),
    ("identity beside a length", "9112 11.2",
     post(b"Transfer-Encoding: identity\r\nContent-Length: 11\r\n"), BAD, CLOSE),
    ("gzip before chunked", "9112 6.1", post(b"Transfer-Encoding: gzip, chunked\r\n", WHOLE), BAD,
     CLOSE),
    ("chunked is not the last", "9112 6.3", post(b"Transfer-Encoding: chunked, gzip\r\n", WHOLE), BAD,
     CLOSE),
    ("a coding that only begins like chunked", "9112 6.1",
     post(b"Transfer-Encoding: chunkedx\r\n", WHOLE), BAD, CLOSE),
    ("a coding that only ends like chunked", "9112 6.1",
     post(b"Transfer-Encoding: xchunked\r\n", WHOLE), BAD, CLOSE),
    ("chunked in quotes", "9112 6.1", post(b'Transfer-Encoding: "chunked"\r\n', WHOLE), BAD, CLOSE),
    ("an empty coding", "9112 6.1", post(b"Transfer-Encoding:\r\n", WHOLE), BAD, CLOSE),
    ("chunked behind a vertical tab", "9112 11.2",
     post(b"Transfer-Encoding: \x0bchunked\r\n", WHOLE), BAD, CLOSE),
    ("chunked behind a comma", "9112 6.1", post(b"Transfer-Encoding: , chunked\r\n", WHOLE), BAD,
     CLOSE),
    ("a space before the coding's colon", "9112 5.1",
     post(b"Transfer-Encoding : chunked\r\nContent-Length: 0\r\n", WHOLE), BAD, CLOSE),
    ("a coding folded away", "9112 5.2",
     post(b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 0\r\n", WHOLE), BAD, CLOSE),
    ("an underscore in the coding's name is another header", "9110 5.1",
     post(b"Transfer_Encoding: chunked\r\nContent-Length: 11\r\n"), OK, KEEP),
]

REST = QUERY + b"\r\n0\r\n\r\n"
CHUNKS = [
    ("a size with a plus", "9112 7.1", chunked(b"+b\r\n" + REST), BAD, CLOSE),
    ("a size with a minus", "9112 7.1", chunked(b"-b\r\n" + REST), BAD, CLOSE),
    ("a size with 0x", "9112 7.1", chunked(b"0xb\r\n" + REST), BAD, CLOSE),
    ("a size with an underscore", "9112 7.1", chunked(b"0_b\r\n" + REST), BAD, CLOSE),
    ("a size behind a space", "9112 7.1", chunked(b" b\r\n" + REST), BAD, CLOSE),
    ("a size before a space", "9112 7.1", chunked(b"b \r\n" + REST), BAD, CLOSE),
    ("a size before a tab", "9112 7.1", chunked(b"b\t\r\n" + REST), BAD, CLOSE),
    ("a bare semicolon", "9112 7.1.1", chunked(b"b;\r\n" + REST), BAD, CLOSE),
    ("an empty size", "9112 7.1", chunked(b"\r\n" + REST), BAD, CLOSE),
    ("a size that is no number", "9112 7.1", chunked(b"xyz\r\n" + REST), BAD, CLOSE),
    ("a size beyond 64 bits", "9112 7.1", chunked(b"1000000000000000b\r\n" + REST), BAD, CLOSE),
    ("a size that ends in LF alone", "9112 7.1", chunked(b"b\n" + REST), BAD, CLOSE),
    ("a size that ends in CR alone", "9112 7.1", chunked(b"b\r" + REST), BAD, CLOSE),
    ("a LF within an extension", "9112 7.1.1", chunked(b"b;a\nb\r\n" + REST), BAD, CLOSE),
    ("an extension without an end", "9112 7.1.1", chunked(b"b;" + b"a" * 20000), BAD, CLOSE),
    ("no CRLF behind the data", "9112 7.1", chunked(b"b\r\n" + QUERY + b"0\r\n\r\n"), BAD, CLOSE),
    ("LF alone behind the data", "9112 7.1", chunked(b"b\r\n" + QUERY + b"\n0\r\n\r\n"), BAD, CLOSE),
    ("more data than the size", "9112 7.1", chunked(b"a\r\n" + REST), BAD, CLOSE),
    ("less data than the size", "9112 7.1", chunked(b"c\r\n" + REST), BAD, CLOSE),
    ("a folded trailer", "9112 7.1.2",
     chunked(b"b\r\n" + QUERY + b"\r\n0\r\n X-A: y\r\n\r\n"), BAD, CLOSE),
    ("a trailer with a bare LF", "9112 7.1.2",
     chunked(b"b\r\n" + QUERY + b"\r\n0\r\nX-A: y\n\r\n"), BAD, CLOSE),
    ("a body that ends in LF LF", "9112 7.1", chunked(b"b\r\n" + QUERY + b"\r\n0\n\n"), BAD, CLOSE),
    ("a NUL instead of a size", "9112 7.1", chunked(b"\0\r\n" + REST), BAD, CLOSE),
    ("broken chunks of an import", "9112 7.1",
     post(b"Transfer-Encoding: chunked\r\n", b"+5\r\nhello\r\n0\r\n\r\n", target=b"IMPORT"), BAD,
     CLOSE),
]

CONNECTIONS = [
    ("Connection: close is heeded", "9112 9.6", get(headers=HOST + b"Connection: close\r\n"), OK,
     CLOSE),
    ("close in any case and within a list", "9110 7.6.1",
     get(headers=HOST + b"Connection: x, CLOSE\r\n"), OK, CLOSE),
    ("close in a second header", "9110 7.6.1",
     get(headers=HOST + b"Connection: keep-alive\r\nConnection: close\r\n"), OK, CLOSE),
    ("three requests at once are answered in order", "9112 9.3.2", get() + get() + get(), OK, KEEP),
    ("what Connection names is not what frames", "9110 7.6.1",
     post(b"Connection: Content-Length\r\nContent-Length: 11\r\n"), {200, 400}, EITHER),
    ("an expectation that is met", "9110 10.1.1",
     post(b"Expect: 100-continue\r\nContent-Length: 11\r\n"), OK, EITHER),
    ("an expectation that nobody can meet", "9110 10.1.1",
     post(b"Expect: 200-ok\r\nContent-Length: 11\r\n"), {400, 417}, EITHER),
    ("a tag that is known gives 304", "9110 13.1.2",
     get(b"/version", HOST + b"If-None-Match: *\r\n"), {304}, KEEP,
     # The gateway's own answer is a probe's: it may come without a tag.
     {"gateway": ({200, 304}, KEEP)}),
    ("a list of tags that is none", "9110 13.1.2",
     get(b"/version", HOST + b"If-None-Match: nonsense\r\n"), OK, KEEP),
    ("gzip;q=0 is no wish for gzip", "9110 12.4.2",
     get(headers=HOST + b"Accept-Encoding: gzip;q=0\r\n"), OK, KEEP),
    ("an encoding of the body that nobody knows", "9110 15.5.16",
     post(b"Content-Encoding: br\r\nContent-Length: 11\r\n"), {415}, EITHER),
    ("a range is not taken and does no harm", "9110 14.2",
     get(headers=HOST + b"Range: bytes=0-1\r\n"), OK, KEEP),
]

UNFINISHED = [
    ("half a request line", "9112 8", b"GET /heal", {400, NONE}, CLOSE),
    ("half a header", "9112 8", b"GET /health/live HTTP/1.1\r\nHos", {400, NONE}, CLOSE),
    ("a head without its end", "9112 8", b"GET /health/live HTTP/1.1\r\nHost: x\r\n", {400, NONE},
     CLOSE),
    ("half a body", "9112 8", length(b"11", QUERY[:5]), {400, NONE}, CLOSE),
    ("half a chunk", "9112 8", chunked(b"b\r\n" + QUERY[:5]), {400, NONE}, CLOSE),
    ("chunks without their end", "9112 8", chunked(b"b\r\n" + QUERY + b"\r\n"), {400, NONE}, CLOSE),
    ("nothing at all", "9112 9.5", b"", {400, NONE}, CLOSE),
]

# The client ends its side behind the request instead of sending another one.
HALF_CLOSED = {row[0] for row in UNFINISHED}

ROWS_MIN = 120

TABLE = (START_LINE + VERSIONS + METHODS + TARGETS + HOSTS + FIELDS + LENGTHS + CODINGS + CHUNKS +
         CONNECTIONS + UNFINISHED)
assert len({row[0] for row in TABLE}) == len(TABLE) >= ROWS_MIN
