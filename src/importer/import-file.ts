import { createHash, randomUUID, type UUID } from "node:crypto";
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { getCACertificates } from "node:tls";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type CallOptions, type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import {
  GraphService,
  type ImportEdgesRequestSchema,
  type ImportEdgesResponse,
} from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { type FileRecord, readRecords } from "./read-records.ts";

const batchSize = 1_000;
/** Far below what the service takes in one message, 1 MiB: a character may need three bytes. */
const batchCharacters = 256 * 1024;

interface ImportOptions {
  readonly url: string;
  readonly token: string;
  /** For an https URL, in PEM: whom to trust beside the usual authorities, and what the service may demand to see. */
  readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  /** Told the part of the file that is sent, from 0 to 1, and the number of the next record. */
  readonly onProgress: (fraction: number, record: number) => void;
}

/**
 * Imports the records of a file through a running service. A file that was imported in part goes on where it was
 * broken off: the import is named after the file's path, size and time. One that was imported to its end is imported
 * anew, since what it was skipped for may have changed.
 */
export async function importFile(path: string, options: ImportOptions): Promise<ImportEdgesResponse> {
  const { size, mtimeMs } = await stat(path);
  const named = uuidOf(`${resolve(path)}\n${size}\n${mtimeMs}`);
  const { ca, ...shown } = options.tls;
  const nodeOptions = { ...shown, ...(ca === undefined ? {} : { ca: [...getCACertificates(), ca] }) };
  const client = createClient(GraphService, createGrpcTransport({ baseUrl: options.url, nodeOptions }));
  const call = { headers: { authorization: `Bearer ${options.token}` } };
  const before = await recordsDone(client, named, call);
  const isComplete = before > 0 && before >= (await countRecords(path));
  const [importId, done] = isComplete ? [randomUUID(), 0] : [named, before];
  return client.importEdges(batches(path, size, importId, done, options), call);
}

async function recordsDone(client: Client<typeof GraphService>, importId: string, call: CallOptions) {
  const { progress } = await client.getImport({ importId }, call);
  return Number(progress?.records ?? 0);
}

async function countRecords(path: string): Promise<number> {
  let count = 0;
  for await (const _ of readRecords(path)) count++;
  return count;
}

async function* batches(
  path: string,
  size: number,
  importId: string,
  done: number,
  { onProgress }: ImportOptions,
) {
  type Batch = MessageInitShape<typeof ImportEdgesRequestSchema> & { records: unknown[] };
  const start = (firstRecord: number) =>
    ({ importId, firstRecord: BigInt(firstRecord), records: [] }) as Batch;
  let number = 0;
  let batch = start(done);
  let characters = 0;
  for await (const { record, bytesRead } of readRecords(path)) {
    if (number++ < done) continue;
    batch.records.push(record);
    characters += charactersOf(record);
    if (batch.records.length < batchSize && characters < batchCharacters) continue;
    yield batch;
    onProgress(bytesRead / size, number);
    batch = start(number);
    characters = 0;
  }
  // Also when it is empty: the service answers a stream of at least one message.
  yield batch;
  onProgress(1, number);
}

/** Only users vary in size: by their texts. */
function charactersOf({ record }: FileRecord["record"]): number {
  if (record?.case !== "user") return 0;
  const { userName = "", firstName = "", lastName = "", profilePictureUrls = [] } = record.value;
  return [userName, firstName, lastName, ...profilePictureUrls].join("").length;
}

function uuidOf(text: string): UUID {
  const hex = createHash("sha256").update(text).digest("hex");
  return hex.slice(0, 32).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-") as UUID;
}
