import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

/** A span as a collector gets it. Ids are in hexadecimal; the parent's is empty for a root. */
export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string;
  readonly name: string;
  /** 2 is a server's span, 3 a client's. */
  readonly kind: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** The spans that are linked. */
  readonly links: readonly string[];
  /** 2 is an error. */
  readonly status: number;
}

/** A collector: takes OTLP over HTTP in protobuf, as opentelemetry/proto/collector/trace/v1 defines it. */
export interface OtlpReceiver {
  readonly url: string;
  /** Everything received, and the headers and bytes it came with. */
  readonly spans: ReceivedSpan[];
  readonly requests: { readonly path: string; readonly headers: object; readonly bytes: Buffer }[];
  /** The attributes of the sender. */
  readonly resource: Record<string, unknown>;
  close(): Promise<void>;
}

/** Starts a collector on a free port. */
export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const requests: OtlpReceiver["requests"] = [];
  const resource: Record<string, unknown> = {};
  const server = createServer(async (request, response) => {
    const bytes = Buffer.concat(await request.toArray());
    requests.push({ path: request.url ?? "", headers: request.headers, bytes });
    for (const resourceSpans of fieldsOf(bytes).all(1)) {
      const { all } = fieldsOf(resourceSpans);
      for (const one of all(1)) Object.assign(resource, attributesOf(fieldsOf(one).all(1)));
      for (const scope of all(2)) spans.push(...fieldsOf(scope).all(2).map(spanOf));
    }
    response.setHeader("content-type", "application/x-protobuf");
    response.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    requests,
    resource,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

function spanOf(bytes: Uint8Array): ReceivedSpan {
  const { all, number } = fieldsOf(bytes);
  const hex = (field: number) => Buffer.from(all(field)[0] ?? []).toString("hex");
  const [status] = all(15);
  return {
    traceId: hex(1),
    spanId: hex(2),
    parentId: hex(4),
    name: Buffer.from(all(5)[0] ?? []).toString(),
    kind: number(6),
    attributes: attributesOf(all(9)),
    links: all(13).map((link) => Buffer.from(fieldsOf(link).all(2)[0] ?? []).toString("hex")),
    status: status === undefined ? 0 : fieldsOf(status).number(3),
  };
}

function attributesOf(pairs: readonly Uint8Array[]): Record<string, unknown> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const { all } = fieldsOf(pair);
      const value = fieldsOf(all(2)[0] ?? new Uint8Array());
      const [text] = value.all(1);
      return [Buffer.from(all(1)[0] ?? []).toString(), text ? Buffer.from(text).toString() : value.number(3)];
    }),
  );
}

/** The fields of a message by their numbers. */
function fieldsOf(bytes: Uint8Array) {
  const reader = new BinaryReader(bytes);
  const chunks: [field: number, value: Uint8Array][] = [];
  const numbers = new Map<number, number>();
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (wireType === WireType.LengthDelimited) chunks.push([field, reader.bytes()]);
    else if (wireType === WireType.Varint) numbers.set(field, Number(reader.int64()));
    else reader.skip(wireType);
  }
  return {
    all: (field: number) => chunks.filter(([at]) => at === field).map(([, value]) => value),
    number: (field: number) => numbers.get(field) ?? 0,
  };
}
