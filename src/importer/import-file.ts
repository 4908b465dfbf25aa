import { createHash, randomUUID, type UUID } from "node:crypto";
import { getCACertificates } from "node:tls";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type CallOptions, type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import {
  GraphService,
  type ImportEdgesRequestSchema,
  type ImportProgress,
  type SkippedRecord,
} from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { type FileRecord, type Format, readRecords } from "./read-records.ts";
import type { Reading } from "./records.ts";
import type { Source } from "./source.ts";

/** How long an answer may take, in milliseconds. */
const answerMs = 120_000;
/** The first answer comes at once, or the URL is wrong. */
const firstAnswerMs = 15_000;

const batchSize = 1_000;
/** The service names at most 10,000 skipped records of a call. */
const batchesPerCall = 10;
/** Far below what the service takes in one message, 1 MiB: a character may need three bytes. */
const batchCharacters = 192 * 1024;
/** Part of an import's name: another version may number the records of a file otherwise. */
const readerVersion = 2;

/** A record that was not stored. */
export interface Skipped {
  /** The number of its first line, from 1. */
  readonly line: number;
  readonly reason: SkippedRecord["reason"];
  /** Which field is at fault, and what is wrong. */
  readonly description: string;
}

interface ImportOptions {
  readonly url: string;
  readonly token: string;
  /** For an https URL, in PEM: whom to trust beside the usual authorities, and what the service may demand to see. */
  readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  readonly reading: Reading;
  /** Told the part of the file that is sent, from 0 to 1, and the number of the next record. */
  readonly onProgress: (fraction: number, record: number) => void;
  /** Told of each record that is skipped, in the order of the file. */
  readonly onSkipped: (skipped: Skipped) => void;
}

/** What must be known of a file before any of it is sent. */
interface Inspected {
  /** Names the content and all that its meaning depends on. */
  readonly name: UUID;
  readonly records: number;
}

/**
 * Imports the records of a file through a running service, and returns how far the import has come, over all of its
 * runs. A file that was imported in part goes on where it was broken off: the import is named after its content. One
 * that was imported to its end is imported anew, since what it was skipped for may have changed.
 *
 * Throws an `InputError` before anything is sent when the file cannot be understood.
 */
export async function importFile(
  source: Source,
  options: ImportOptions,
): Promise<ImportProgress | undefined> {
  const { name, records } = await inspectFile(source.path, options.reading);
  const { ca, ...shown } = options.tls;
  const nodeOptions = { ...shown, ...(ca === undefined ? {} : { ca: [...getCACertificates(), ca] }) };
  const client = createClient(GraphService, createGrpcTransport({ baseUrl: options.url, nodeOptions }));
  const call = { headers: { authorization: `Bearer ${options.token}` } };
  const before = (await client.getImport({ importId: name }, { ...call, timeoutMs: firstAnswerMs })).progress;
  const done = Number(before?.records ?? 0);
  const isComplete = done >= records;
  const importing = isComplete
    ? new Import(client, call, randomUUID(), options.onSkipped)
    : new Import(client, call, name, options.onSkipped);
  const progress = await importing.send(batches(source, isComplete ? 0 : done, options));
  await source.assertUnchanged();
  return progress;
}

/** Reads a whole file before any of it is sent. Throws an `InputError` when it cannot be understood. */
export async function inspectFile(path: string, reading: Reading): Promise<Inspected> {
  const content = createHash("sha256");
  let format: Format | undefined;
  let records = 0;
  const hooks = {
    onBytes: (bytes: Uint8Array) => content.update(bytes),
    onFormat: (found: Format) => {
      format = found;
    },
  };
  for await (const _ of readRecords(path, reading, hooks)) records++;
  const { assumeUtc, ignore } = reading;
  const meaning = { readerVersion, format, assumeUtc, ignore: ignore.toSorted() };
  return { name: uuidOf(`${JSON.stringify(meaning)}\n${content.digest("hex")}`), records };
}

function uuidOf(text: string): UUID {
  const hex = createHash("sha256").update(text).digest("hex");
  return hex.slice(0, 32).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-") as UUID;
}

/** Records that are sent together. */
interface Batch {
  /** The number of the first one in the import. */
  readonly first: number;
  readonly records: readonly FileRecord[];
}

/** Sends batches in order, several in a call, whose answer names every record of the call that was skipped. */
class Import {
  readonly #client: Client<typeof GraphService>;
  readonly #call: CallOptions;
  readonly #importId: string;
  readonly #onSkipped: (skipped: Skipped) => void;

  constructor(
    client: Client<typeof GraphService>,
    call: CallOptions,
    importId: string,
    onSkipped: (skipped: Skipped) => void,
  ) {
    this.#client = client;
    this.#call = { ...call, timeoutMs: answerMs };
    this.#importId = importId;
    this.#onSkipped = onSkipped;
  }

  async send(all: AsyncIterable<Batch>): Promise<ImportProgress | undefined> {
    const rest = new Rest(all[Symbol.asyncIterator]());
    let progress: ImportProgress | undefined;
    for (let first = await rest.peek(); first !== undefined; first = await rest.peek())
      progress = await this.#sendSome(first.first, rest);
    return progress;
  }

  async #sendSome(first: number, rest: Rest): Promise<ImportProgress | undefined> {
    const sent: Pick<FileRecord, "line" | "problem">[] = [];
    const importId = this.#importId;
    async function* messages(): AsyncGenerator<MessageInitShape<typeof ImportEdgesRequestSchema>> {
      for (let count = 0; count < batchesPerCall; count++) {
        const batch = await rest.take();
        if (batch === undefined) return;
        for (const { line, problem } of batch.records)
          sent.push({ line, ...(problem === undefined ? {} : { problem }) });
        const records = batch.records.map(({ record }) => record);
        yield { importId, firstRecord: BigInt(batch.first), records };
      }
      // Read before the call ends, so that the next one can begin at once.
      await rest.peek();
    }
    const { progress, skipped } = await this.#client.importEdges(messages(), this.#call);
    for (const { record, reason, description } of skipped) {
      const at = sent[Number(record) - first];
      if (at !== undefined)
        this.#onSkipped({ line: at.line, reason, description: at.problem ?? description });
    }
    return progress;
  }
}

/** The batches that have not been sent. */
class Rest {
  readonly #batches: AsyncIterator<Batch>;
  #next: Promise<IteratorResult<Batch>> | undefined;

  constructor(batches: AsyncIterator<Batch>) {
    this.#batches = batches;
  }

  /** The next batch, which stays; undefined at the end. */
  async peek(): Promise<Batch | undefined> {
    this.#next ??= this.#batches.next();
    const { done, value } = await this.#next;
    return done === true ? undefined : value;
  }

  /** Takes the next batch; undefined at the end. */
  async take(): Promise<Batch | undefined> {
    const batch = await this.peek();
    if (batch !== undefined) this.#next = undefined;
    return batch;
  }
}

async function* batches(
  { path, size }: Source,
  done: number,
  { reading, onProgress }: ImportOptions,
): AsyncGenerator<Batch> {
  let number = 0;
  let bytesRead = 0;
  let records: FileRecord[] = [];
  let characters = 0;
  const hooks = {
    onBytes: ({ length }: Uint8Array) => {
      bytesRead += length;
    },
  };
  for await (const record of readRecords(path, reading, hooks)) {
    if (number++ < done) continue;
    records.push(record);
    characters += record.characters;
    if (records.length < batchSize && characters < batchCharacters) continue;
    yield { first: number - records.length, records };
    onProgress(bytesRead / size, number);
    records = [];
    characters = 0;
  }
  // Also when it is empty: the service tells the progress of a call of at least one message.
  yield { first: number - records.length, records };
  onProgress(1, number);
}
