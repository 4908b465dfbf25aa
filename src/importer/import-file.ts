import { createHash, randomUUID, type UUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { CallOptions, Client } from "@connectrpc/connect";
import type {
  GraphService,
  ImportEdgesRequestSchema,
  ImportProgress,
  SkippedRecord,
} from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { formatUuid } from "../domain/users.ts";
import { type FileRecord, type Format, readRecords } from "./read-records.ts";
import type { ReadOptions } from "./records.ts";
import type { Source } from "./source.ts";

/** The deadline of a call, in milliseconds. */
const callTimeoutMs = 120_000;
/** The deadline of the first call, in milliseconds: shorter, so that a wrong URL fails soon. */
const firstCallTimeoutMs = 15_000;

const batchSize = 1_000;
/** The service names at most 10,000 skipped records of a call. */
const batchesPerCall = 10;
/** Far below what the service takes in one message, 1 MiB: a character may need three bytes. */
const batchCharacters = 192 * 1024;
/** Part of an import's id: to be raised when records are numbered in another way. */
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
  readonly client: Client<typeof GraphService>;
  /** The options of each call. */
  readonly call: CallOptions;
  readonly reading: ReadOptions;
  /** Called with the part of the file that is sent, from 0 to 1, and the number of the next record. */
  readonly onProgress: (fraction: number, record: number) => void;
  /** Called for each record that is skipped, in the order of the file. */
  readonly onSkipped: (skipped: Skipped) => void;
}

/** What is read of a file before any of it is sent. */
interface Inspected {
  /** A hash of the content and of the options that change its meaning: the import's id. */
  readonly id: UUID;
  readonly records: number;
}

/**
 * Imports the records of a file through a running service, and returns the progress of the import over all of its runs.
 * An interrupted import continues where it stopped: its id is a hash of the file. A file that was imported completely is
 * imported again under a new id, since the reason for which a record was skipped may no longer exist.
 *
 * Throws an `InputError` before anything is sent when the file cannot be understood.
 */
export async function importFile(
  source: Source,
  options: ImportOptions,
): Promise<ImportProgress | undefined> {
  const { id, records } = await inspectFile(source.path, options.reading);
  const { client, call } = options;
  const before = (await client.getImport({ importId: id }, { ...call, timeoutMs: firstCallTimeoutMs }))
    .progress;
  const done = Number(before?.records ?? 0);
  const isComplete = done >= records;
  const importing = isComplete
    ? new Import(client, call, randomUUID(), options.onSkipped)
    : new Import(client, call, id, options.onSkipped);
  const progress = await importing.send(batches(source, isComplete ? 0 : done, options));
  await source.assertUnchanged();
  return progress;
}

/** Reads a whole file before any of it is sent. Throws an `InputError` when it cannot be understood. */
export async function inspectFile(path: string, reading: ReadOptions): Promise<Inspected> {
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
  return { id: uuidOf(`${JSON.stringify(meaning)}\n${content.digest("hex")}`), records };
}

function uuidOf(text: string): UUID {
  const hex = createHash("sha256").update(text).digest("hex");
  return formatUuid(hex.slice(0, 32)) as UUID;
}

/** Records that are sent in one message. */
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
    this.#call = { ...call, timeoutMs: callTimeoutMs };
    this.#importId = importId;
    this.#onSkipped = onSkipped;
  }

  /** Sends all batches. Returns the progress after the last one. */
  async send(all: AsyncIterable<Batch>): Promise<ImportProgress | undefined> {
    const pending = new PendingBatches(all[Symbol.asyncIterator]());
    let progress: ImportProgress | undefined;
    for (let first = await pending.peek(); first !== undefined; first = await pending.peek())
      progress = await this.#sendCall(first.first, pending);
    return progress;
  }

  async #sendCall(first: number, pending: PendingBatches): Promise<ImportProgress | undefined> {
    const sent: Pick<FileRecord, "line" | "problem">[] = [];
    const importId = this.#importId;
    async function* messages(): AsyncGenerator<MessageInitShape<typeof ImportEdgesRequestSchema>> {
      for (let count = 0; count < batchesPerCall; count++) {
        const batch = await pending.take();
        if (batch === undefined) return;
        for (const { line, problem } of batch.records)
          sent.push({ line, ...(problem === undefined ? {} : { problem }) });
        const records = batch.records.map(({ record }) => record);
        yield { importId, firstRecord: BigInt(batch.first), records };
      }
      // Read before the call ends, so that the next one can begin at once.
      await pending.peek();
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
class PendingBatches {
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
  // Also when it is empty: the service answers with the progress only to a call with a message.
  yield { first: number - records.length, records };
  onProgress(1, number);
}
