import fc from "fast-check";
import { bytesOf, type FuzzedRequest } from "./rest-requests.ts";

/** Bytes that are hardly HTTP/1.1 any more. */
export interface BrokenRequest {
  readonly bytes: Buffer;
  /** Set where two readers may disagree about where a request ends: the one answer to it, and the last of the connection. */
  readonly onlyAnswer?: number;
}

/** What follows a request that is smuggled in. */
const smuggled = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
const post = (framing: string, body: string) =>
  `POST /users/me/privacy HTTP/1.1\r\nHost: h\r\n${framing}\r\n\r\n${body}`;

const blank = fc.constantFrom("", " ", "\t");
const chunked = fc.mixedCase(fc.constant("chunked"));
const transferEncoding = fc.mixedCase(fc.constant("Transfer-Encoding"));
const contentLength = fc.mixedCase(fc.constant("Content-Length"));

/** Framings that a proxy before the service may read in another way. */
const ambiguous: fc.Arbitrary<string> = fc
  .tuple(transferEncoding, contentLength, chunked, blank, fc.integer({ min: 1, max: 40 }))
  .chain(([te, cl, coding, gap, size]) =>
    fc.constantFrom(
      post(`${cl}: ${size}\r\n${te}: ${coding}`, `0\r\n\r\n${smuggled}`),
      post(`${te}: ${coding}\r\n${cl}: ${size}`, `0\r\n\r\n${smuggled}`),
      post(`${cl}: ${size}\r\n${cl}: ${size + 1}`, smuggled),
      post(`${cl}: ${size}, ${size}`, smuggled),
      post(`${cl}: +${size}`, smuggled),
      post(`${cl}: -${size}`, smuggled),
      post(`${cl}: 0x${size}`, smuggled),
      post(`${cl}: ${size}.0`, smuggled),
      post(`${cl} : ${size}`, smuggled),
      post(`${cl}: ${"9".repeat(30)}`, smuggled),
      post(`${te}: x${coding}`, `0\r\n\r\n${smuggled}`),
      post(`${te}: ${coding}, identity`, `0\r\n\r\n${smuggled}`),
      post(`${te}: ${coding}\r\n${te}: identity`, `0\r\n\r\n${smuggled}`),
      post(`${te}: "${coding}"`, `0\r\n\r\n${smuggled}`),
      post(`${te}: gzip, ${coding}`, `0\r\n\r\n${smuggled}`),
      post(`${te}:${gap}\x0b${coding}`, `0\r\n\r\n${smuggled}`),
      post(`${te} : ${coding}`, `0\r\n\r\n${smuggled}`),
      post(` ${te}: ${coding}`, `0\r\n\r\n${smuggled}`),
      post(`X: y\r\n ${te}: ${coding}`, `0\r\n\r\n${smuggled}`),
      post(`X: y\n${te}: ${coding}`, `0\r\n\r\n${smuggled}`),
      post(`X: y\r${te}: ${coding}`, `0\r\n\r\n${smuggled}`),
      post(`X: \0\r\n${te}: ${coding}`, `0\r\n\r\n${smuggled}`),
      `POST / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n${te}: ${coding}\r\n\r\n0\r\n\r\n${smuggled}`,
      `GET / HTTP/2.0\r\nHost: h\r\n\r\n${smuggled}`,
      `GET / HTTP/1.1\r\nHost: h\r\nHost: g\r\n\r\n${smuggled}`,
      `CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n${smuggled}`,
    ),
  );

/** Broken requests: ambiguous framing, and good requests that were cut, spliced or changed. */
export function brokenRequests(good: fc.Arbitrary<FuzzedRequest>): fc.Arbitrary<BrokenRequest> {
  const bytes = good.map(bytesOf);
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 12 }).map((random) => Buffer.from(random)),
    fc
      .constantFrom(
        "\r\n",
        "\n",
        "\r",
        "\0",
        ":",
        " ",
        "\r\n\r\n",
        "0\r\n\r\n",
        "fffffff\r\n",
        smuggled,
        "PRI * HTTP/2.0",
      )
      .map((text) => Buffer.from(text)),
  );
  const at = fc.double({ min: 0, max: 1, noNaN: true });
  const spliced = fc.tuple(bytes, at, fc.nat(8), piece).map(([request, where, gone, inserted]) => {
    const from = Math.floor(where * Math.min(request.length, 600));
    return Buffer.concat([request.subarray(0, from), inserted, request.subarray(from + gone)]);
  });
  return fc.oneof(
    { weight: 3, arbitrary: spliced.map((bytes) => ({ bytes })) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(bytes, at)
        .map(([request, where]) => ({ bytes: request.subarray(0, where * request.length) })),
    },
    { weight: 1, arbitrary: fc.tuple(bytes, bytes, bytes).map((all) => ({ bytes: Buffer.concat(all) })) },
    {
      weight: 1,
      arbitrary: fc
        .uint8Array({ minLength: 1, maxLength: 300 })
        .map((random) => ({ bytes: Buffer.from(random) })),
    },
    {
      weight: 2,
      arbitrary: ambiguous.map((text) => ({ bytes: Buffer.from(text, "latin1"), onlyAnswer: 400 })),
    },
  );
}
