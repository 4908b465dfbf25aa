import type { CallOptions, Client } from "@connectrpc/connect";
import type { GraphService } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import type { Output } from "./output.ts";
import { recordLine } from "./record-lines.ts";
import { untilSilent } from "./until-silent.ts";

/** How long the service may be silent, in milliseconds: a wrong URL fails soon. */
const silenceMs = 30_000;

interface ExportOptions {
  readonly client: Client<typeof GraphService>;
  readonly call: CallOptions;
  /** The user whose records to export; all records by default. */
  readonly userId: string | undefined;
  readonly output: Output;
  /** Called with how many records there are so far, and about how many in all; 0 when that is not known. */
  readonly onProgress: (records: number, total: number) => void;
  /** Ends the export. */
  readonly signal: AbortSignal;
}

/** Writes the records of a running service as NDJSON, and returns how many there are. */
export async function exportRecords(options: ExportOptions): Promise<number> {
  const { client, call, userId = "", output, onProgress, signal } = options;
  let records = 0;
  const begin = (ended: AbortSignal) => client.exportRecords({ userId }, { ...call, signal: ended });
  for await (const message of untilSilent(begin, silenceMs, signal)) {
    await output.write(message.records.map(recordLine).join(""));
    records += message.records.length;
    onProgress(records, Number(message.totalSize));
  }
  return records;
}
