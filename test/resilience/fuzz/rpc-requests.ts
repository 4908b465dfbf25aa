import { gzipSync } from "node:zlib";
import { type DescMethod, toBinary, toJsonString } from "@bufbuild/protobuf";
import fc from "fast-check";
import { PrivacyControlService } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { lengthPrefixed } from "../../support/frames.ts";
import { methods, nameOf, requestOf } from "../support/methods.ts";

/** A call of one method by some protocol, with whatever is wrong in its headers and its body. */
export interface FuzzedCall {
  readonly listener: "public" | "internal";
  readonly headers: Record<string, string>;
  readonly chunks: readonly Buffer[];
  /** The method may answer without end. */
  readonly streams: boolean;
}

/** What the generators know of the service. */
interface Known {
  readonly users: readonly string[];
  /** Good metadata for each listener, of several users: changes of one user wait for each other. */
  readonly metadata: Readonly<Record<FuzzedCall["listener"], readonly Record<string, string>[]>>;
}

const bombs = [1, 20].map((megabytes) => gzipSync(Buffer.alloc(megabytes * 1024 * 1024)));

const timeouts = [
  "0n",
  "1n",
  "1u",
  "1m",
  "10m",
  "1S",
  "99999999H",
  "",
  "S",
  "1",
  "-1S",
  "1.5S",
  "123456789S",
  "1s",
  "1 S",
  "00000001S",
];
const encodings = ["identity", "gzip", "deflate", "br", "snappy", "", "gzip,identity", "GZIP"];
const oddHeaders: readonly (readonly [string, readonly string[]])[] = [
  ["grpc-timeout", timeouts],
  ["connect-timeout-ms", ["0", "1", "10", "-1", "x", "99999999999", "5000", "1e3", ""]],
  ["grpc-encoding", encodings],
  ["grpc-accept-encoding", encodings],
  ["connect-content-encoding", encodings],
  ["connect-accept-encoding", encodings],
  ["content-encoding", encodings],
  ["x-any-bin", ["AAEC", "AAE", "====", "!!!", "AAEC,AAEC", "", "a".repeat(4_000)]],
  ["x-any", ["", "a".repeat(9_000), "\xe9", "%"]],
  ["x-acting-user", ["", "alice", "999e9999-e99b-99d9-a999-999999999999"]],
  ["authorization", ["", "Bearer x.y.z", "Bearer", "x"]],
  ["grpc-status", ["0", "13"]],
  ["grpc-status-details-bin", ["!!!", "AAAA"]],
  ["connect-protocol-version", ["1", "2", ""]],
  ["user-agent", ["grpc-go/1.60.0", ""]],
];

type Protocol = readonly [type: string, framed: boolean, json: boolean];

/** How a protocol writes a message, for methods of any kind, for unary ones, for streams, and for none. */
const protocols: Record<"any" | "unary" | "streaming" | "wrong", readonly Protocol[]> = {
  any: [
    ["application/grpc", true, false],
    ["application/grpc+proto", true, false],
    ["application/grpc+json", true, true],
    ["application/grpc-web", true, false],
    ["application/grpc-web+proto", true, false],
    ["application/grpc-web+json", true, true],
  ],
  unary: [
    ["application/grpc", true, false],
    ["application/proto", false, false],
    ["application/json", false, true],
  ],
  streaming: [
    ["application/connect+proto", true, false],
    ["application/connect+json", true, true],
  ],
  wrong: [
    ["application/grpc+thrift", true, false],
    ["application/grpc-web-text", true, false],
    ["text/plain", false, true],
    ["", false, true],
  ],
};

function protocolsOf(method: DescMethod): readonly Protocol[] {
  const { any, unary, streaming, wrong } = protocols;
  const own = method.methodKind === "unary" ? unary : streaming;
  return [...any, ...any, ...own, ...own, ...wrong];
}

/** Calls of every method of both listeners, mutated. */
export function fuzzedCalls({ users, metadata }: Known): fc.Arbitrary<FuzzedCall> {
  const header = fc
    .constantFrom(...oddHeaders)
    .chain(([name, values]) => fc.constantFrom(...values).map((value) => [name, value] as const));
  const onPublic = methods.filter(({ parent }) => parent === PrivacyControlService);
  const place = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        listener: fc.constant("internal" as const),
        method: fc.constantFrom(...methods),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        listener: fc.constant("public" as const),
        method: fc.constantFrom(...onPublic),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ listener: fc.constant("public" as const), method: fc.constantFrom(...methods) }),
    },
  );
  return fc
    .record({
      place: place.chain(({ listener, method }) =>
        fc.constantFrom(...protocolsOf(method)).map((protocol) => ({ listener, method, protocol })),
      ),
      target: fc.constantFrom(...users),
      actor: fc.nat(),
      odd: fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, fc.array(header, { maxLength: 3 })),
      body: fc.oneof(
        { weight: 5, arbitrary: piece.map((one) => [one]) },
        { weight: 1, arbitrary: fc.array(piece, { maxLength: 3 }) },
      ),
      cut: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.nat(40)),
      split: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(30)),
    })
    .map(({ place: { listener, method, protocol }, target, actor, odd, body, cut, split }) => {
      const [type, framed, json] = protocol;
      const message = messageOf(method, target, json);
      const all = Buffer.concat(body.map((one) => (framed ? framedPiece : barePiece)(one, message)));
      const kept = all.subarray(0, Math.max(0, all.length - cut));
      return {
        listener,
        headers: {
          ":path": `/${nameOf(method)}`,
          "content-type": type,
          te: "trailers",
          ...metadata[listener][actor % metadata[listener].length],
          ...Object.fromEntries(odd),
        },
        chunks: split === 0 ? [kept] : [kept.subarray(0, split), kept.subarray(split)],
        streams: method.methodKind === "server_streaming",
      };
    });
}

type Piece = typeof piece extends fc.Arbitrary<infer Value> ? Value : never;

/** What becomes of one message. */
const piece = fc.record({
  /** Replaces the good message, or changes it. */
  change: fc.oneof(
    { weight: 5, arbitrary: fc.constant("none" as const) },
    { weight: 3, arbitrary: fc.tuple(fc.constant("byte" as const), fc.nat(200), fc.nat(255)) },
    { weight: 2, arbitrary: fc.tuple(fc.constant("random" as const), fc.uint8Array({ maxLength: 80 })) },
    { weight: 1, arbitrary: fc.tuple(fc.constant("known" as const), fc.constantFrom(...badMessages())) },
    {
      weight: 1,
      arbitrary: fc.constantFrom("gzip" as const, "bomb" as const, "empty" as const, "large" as const),
    },
  ),
  flags: fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, fc.constantFrom(1, 2, 3, 0x80, 0x81, 0xff)),
  lie: fc.oneof(
    { weight: 6, arbitrary: fc.constant(0) },
    fc.integer({ min: -20, max: 2_000_000 }),
    fc.constant(0xffff_ffff),
  ),
});

/** Protobuf that no parser should take, or that is as hard as can be to take. */
function badMessages(): Buffer[] {
  const nested = (depth: number) => {
    let message = Buffer.from([0x08, 0x01]);
    for (let i = 0; i < depth; i++)
      message = Buffer.concat([Buffer.from([0x0b]), message, Buffer.from([0x0c])]);
    return message;
  };
  return [
    // A string that is no UTF-8, and one of a surrogate.
    Buffer.from([0x0a, 0x02, 0xc3, 0x28]),
    Buffer.from([0x0a, 0x03, 0xed, 0xa0, 0x80]),
    // Lengths that lie, and a varint without end.
    Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
    Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
    Buffer.alloc(20, 0xff),
    // Field number 0, reserved wire types, a group that does not end, one that ends another, groups in groups.
    Buffer.from([0x00, 0x00]),
    Buffer.from([0x0e, 0x00]),
    Buffer.from([0x0f, 0x00]),
    Buffer.from([0x0b]),
    Buffer.from([0x0c]),
    Buffer.from([0x0b, 0x14]),
    nested(50),
    nested(5_000),
    // An enum beyond its values, a field twice.
    Buffer.from([0x08, 0xff, 0x7f, 0x10, 0xff, 0x7f]),
    Buffer.from([0x0a, 0x01, 0x61, 0x0a, 0x01, 0x62]),
  ];
}

const messages = new Map<string, Buffer>();

function messageOf(method: DescMethod, target: string, json: boolean): Buffer {
  const key = `${nameOf(method)} ${target} ${json}`;
  const known = messages.get(key);
  if (known !== undefined) return known;
  const message = requestOf(method, target);
  const bytes = Buffer.from(json ? toJsonString(method.input, message) : toBinary(method.input, message));
  messages.set(key, bytes);
  return bytes;
}

function framedPiece({ change, flags, lie }: Piece, message: Buffer): Buffer {
  const payload = barePiece({ change, flags, lie }, message);
  const compressed = change === "gzip" || change === "bomb" ? flags | 1 : flags;
  return lengthPrefixed(payload, { flags: compressed, length: payload.length + lie });
}

function barePiece({ change }: Piece, message: Buffer): Buffer {
  if (change === "none") return message;
  if (change === "empty") return Buffer.alloc(0);
  if (change === "gzip") return gzipSync(message);
  if (change === "bomb") return bombs[message.length % bombs.length] ?? message;
  if (change === "large") return Buffer.alloc(80_000, 0x20);
  if (change[0] === "random") return Buffer.from(change[1]);
  if (change[0] === "known") return change[1];
  const [, at, byte] = change;
  const changed = Buffer.from(message);
  if (changed.length > 0) changed[at % changed.length] = byte;
  return changed;
}
