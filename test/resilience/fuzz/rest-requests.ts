import fc from "fast-check";
import { type RestRequest, restRequests } from "../support/method-requests.ts";
import { methods } from "../support/methods.ts";
import { idQueries, termBodies } from "./rest-terms.ts";

/** A request over HTTP/1.1 whose framing is right, whatever else is wrong with it. */
export interface FuzzedRequest {
  readonly verb: string;
  readonly target: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
  /** Sizes of chunks; undefined sends the body by its length. */
  readonly chunks: readonly number[] | undefined;
}

/** What the generators know of the service. */
export interface Known {
  /** Users who exist. */
  readonly users: readonly string[];
  /** Values of `Authorization`, good and bad. */
  readonly tokens: readonly string[];
}

const strange = fc.oneof(
  fc.string({ maxLength: 30, unit: "binary" }),
  fc.string({ maxLength: 30 }),
  fc.constantFrom(
    "%00",
    "%2F",
    "%2f..%2f",
    "..",
    ".",
    "%",
    "%ff",
    "%c3%28",
    "%ud800",
    "__proto__",
    "constructor",
    "null",
  ),
  fc.constantFrom(
    "a".repeat(129),
    "a".repeat(5_000),
    "-1",
    "0",
    "1e3",
    "99999999999999999999",
    "' or 1=1 --",
    "{}",
    "*",
  ),
);

/** Text for a request line: anything but what ends it. */
const inLine = strange.map((text) =>
  Buffer.from(text)
    .toString("latin1")
    .replace(/[^!-~]/g, "%7F"),
);
/** Text for a header. */
const inHeader = strange.map((text) =>
  Buffer.from(text)
    .toString("latin1")
    .replace(/\p{Cc}/gu, "")
    .trim(),
);

const json = fc.oneof(
  fc.json({ maxDepth: 4 }),
  fc.constantFrom(
    "",
    " ",
    "{",
    "[]",
    "null",
    "{}",
    '"',
    "{}{}",
    "\ufeff{}",
    '{"a":1,"a":2}',
    '{"__proto__":{"a":1}}',
  ),
  fc.constantFrom(
    "[".repeat(20_000),
    '{"a":'.repeat(5_000),
    '{"setting":"\\ud800"}',
    `{"setting":"${"a".repeat(70_000)}"}`,
  ),
);

/** Fuzzed requests of every public route, and of paths that are near to them. */
export function fuzzedRequests({ users, tokens }: Known): fc.Arbitrary<FuzzedRequest> {
  const target = fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...users) }, inLine);
  const good = target.chain((id) =>
    fc.constantFrom(...methods.flatMap((method) => restRequests(method, id))),
  );
  const rpc = fc.constantFrom(...methods.map((method) => `/${method.parent.typeName}/${method.name}`));
  const path = fc.oneof(
    { weight: 9, arbitrary: good.map(({ path }) => path) },
    // Parameters with escapes of their own, which may be broken.
    { weight: 3, arbitrary: good.map(({ path }) => path.replaceAll("%25", "%")) },
    { weight: 1, arbitrary: rpc },
    { weight: 1, arbitrary: inLine.map((text) => `/${text}`) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        "/",
        "//",
        "/healthz",
        "/readyz",
        "*",
        "/users/me/privacy/",
        "/USERS/me/privacy",
      ),
    },
    { weight: 1, arbitrary: good.map(({ path }) => `http://h${path}`) },
    { weight: 1, arbitrary: fc.tuple(good, inLine).map(([{ path }, text]) => `${path}/${text}`) },
  );
  const pair = fc.tuple(
    fc.oneof(
      fc.constantFrom("page_size", "pageSize", "page_token", "pageToken", "setting", "userId", "signed_out"),
      inLine,
    ),
    inLine,
  );
  const query = fc.oneof(
    { weight: 3, arbitrary: fc.constant("") },
    {
      weight: 3,
      arbitrary: fc
        .array(pair, { maxLength: 4 })
        .map((pairs) => `?${pairs.map((p) => p.join("=")).join("&")}`),
    },
    { weight: 1, arbitrary: idQueries(users, inLine) },
    { weight: 1, arbitrary: inLine.map((text) => `?${text}`) },
    { weight: 1, arbitrary: fc.constant(`?${"page_size=1&".repeat(300)}`) },
  );
  const header = fc.oneof(
    {
      weight: 30,
      arbitrary: fc.tuple(
        fc.constantFrom(...headerNames),
        fc.oneof(inHeader, fc.constantFrom(...headerValues)),
      ),
    },
    { weight: 1, arbitrary: fc.tuple(fc.constantFrom("x-long", "cookie"), fc.constant("a".repeat(17_000))) },
  );
  const body = fc.oneof(
    {
      weight: 5,
      arbitrary: good.map(({ body }) => Buffer.from(body === undefined ? "" : JSON.stringify(body))),
    },
    {
      weight: 3,
      arbitrary: fc
        .tuple(good, fc.nat(400), fc.nat(255))
        .map(([{ body }, at, byte]) => flipped(body, at, byte)),
    },
    { weight: 2, arbitrary: json.map((text) => Buffer.from(text)) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)) },
  );
  return fc
    .record({
      good,
      path,
      query,
      host: fc.oneof({ weight: 9, arbitrary: fc.constant("h") }, fc.constantFrom(...hosts), inHeader),
      asDefined: fc.nat(3),
      verb: fc.constantFrom(
        "GET",
        "POST",
        "PATCH",
        "DELETE",
        "PUT",
        "HEAD",
        "OPTIONS",
        "TRACE",
        "PROPFIND",
        "QUERY",
      ),
      token: fc.constantFrom(...tokens),
      type: fc.constantFrom("application/json", "application/json", "application/json", ...mediaTypes),
      headers: fc.array(header, { maxLength: 3 }),
      body,
      terms: termBodies.map((text) => Buffer.from(text)),
      chunks: fc.option(fc.array(fc.integer({ min: 1, max: 5_000 }), { minLength: 1, maxLength: 4 }), {
        nil: undefined,
        freq: 4,
      }),
    })
    .map(({ good, path, query, host, asDefined, verb, token, type, headers, body, terms, chunks }) => ({
      // Most requests are near to good ones: what is strange should get past the first check.
      verb: asDefined > 0 ? good.verb : verb,
      target: asDefined === 3 ? good.path : withQuery(asDefined > 1 ? good.path : path, query),
      headers: [
        ["host", host],
        ...(token === "" ? [] : [["authorization", token] as const]),
        ["content-type", asDefined === 3 ? "application/json" : type],
        ...headers,
      ],
      body:
        asDefined < 3 ? body : good.body === undefined ? Buffer.alloc(0) : takesTerms(good) ? terms : body,
      chunks,
    }));
}

function withQuery(path: string, query: string): string {
  return path + (path.includes("?") ? query.replace("?", "&") : query);
}

/** Whether a request makes or changes a block or mute, of which the body has the terms. */
function takesTerms({ path, body }: RestRequest): boolean {
  return body !== undefined && /\/(?:block|mute)\//.test(path);
}

function flipped(body: object | undefined, at: number, byte: number): Buffer {
  const bytes = Buffer.from(JSON.stringify(body ?? {}));
  bytes[at % bytes.length] = byte;
  return bytes;
}

/** Headers that mean something to someone on the way, without those of the framing. */
const headerNames = [
  "accept",
  "accept-encoding",
  "connect-protocol-version",
  "connect-timeout-ms",
  "content-encoding",
  "cookie",
  "forwarded",
  "grpc-timeout",
  "idempotency-key",
  "if-match",
  "origin",
  "range",
  "te",
  "upgrade",
  "x-acting-user",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-http-method-override",
  "x-original-url",
  "x-request-id",
];
const headerValues = [
  "",
  "gzip",
  "identity",
  "*",
  "100-continue",
  "0",
  "-1",
  "99999999999",
  "websocket",
  "h2c",
  "trailers",
  "GET",
  "bytes=0-",
];
const hosts = ["", "[", "[::1]:80", "x:99999", "a b", "u@h", "h/x", "h?x", "h#x", "localhost:80"];
const mediaTypes = [
  "",
  "application/json; charset=utf-8",
  "application/json; charset=latin1",
  "application/json;",
  "text/plain",
  "application/proto",
  "application/connect+json",
  "application/grpc",
  "application/grpc-web+proto",
  "multipart/form-data",
  "application/x-www-form-urlencoded",
  ";",
  "APPLICATION/JSON",
];

/** The bytes of a request. */
export function bytesOf({ verb, target, headers, body, chunks }: FuzzedRequest): Buffer {
  const framing = chunks === undefined ? `content-length: ${body.length}` : "transfer-encoding: chunked";
  const lines = [
    `${verb} ${target} HTTP/1.1`,
    ...headers.map(([name, value]) => `${name}: ${value}`),
    framing,
  ];
  const head = Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
  if (chunks === undefined) return Buffer.concat([head, body]);
  const parts: Buffer[] = [head];
  for (let at = 0, i = 0; at < body.length; i++) {
    const chunk = body.subarray(at, at + (chunks[i % chunks.length] ?? 1));
    parts.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from("\r\n"));
    at += chunk.length;
  }
  return Buffer.concat([...parts, Buffer.from("0\r\n\r\n")]);
}
