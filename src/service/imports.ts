import { create } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type GraphService,
  type ImportEdgesRequest,
  ImportProgressSchema,
  SkippedRecordSchema,
  SkipReason,
} from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { takeUntilAborted } from "../call/take-until-aborted.ts";
import { PrivacyError } from "../domain/errors.ts";
import { type ImportProgress, type SkippedRecord, skipReasons } from "../domain/imports.ts";
import { parseUserId } from "../domain/users.ts";
import type { ImportName, ImportRepository } from "../store/imports.ts";
import { callingService } from "./acting.ts";
import { toImportRecord } from "./import-records.ts";

/** Told how far an import has come. */
export type ImportLog = (name: ImportName, progress: ImportProgress) => void;

type Handlers = Pick<ServiceImpl<typeof GraphService>, "importEdges" | "getImport">;

const maxRecords = 1_000;
/** The most skipped records that an answer names: those of ten messages. */
const maxReported = 10_000;
/** A line in the log for every so many records. */
const logEvery = 100_000;

/**
 * Imports what another system knows, message by message. When `stopping` aborts, an import ends with `UNAVAILABLE`
 * after the message under way: it can be resumed at another instance.
 */
export function importHandlers(imports: ImportRepository, log: ImportLog, stopping: AbortSignal): Handlers {
  const refuse = () => {
    throw new PrivacyError("UNAVAILABLE");
  };
  return {
    async importEdges(requests, context) {
      let name: ImportName | undefined;
      let progress: ImportProgress | undefined;
      let logged = 0;
      const skipped: SkippedRecord[] = [];
      for await (const request of takeUntilAborted(requests, stopping, refuse)) {
        const given = importName(request, context);
        name ??= given;
        if (given.id !== name.id) throw new PrivacyError("INVALID_REQUEST");
        const outcome = await imports.store(name, ...readRecords(request), context.signal);
        skipped.push(...outcome.skipped.slice(0, maxReported - skipped.length));
        progress = outcome.progress;
        if (progress.records - logged >= logEvery) {
          logged = progress.records;
          log(name, progress);
        }
      }
      if (name === undefined || progress === undefined) throw new PrivacyError("INVALID_REQUEST");
      log(name, progress);
      return {
        progress: fromProgress(progress),
        skipped: skipped.map(({ record, reason, description }) =>
          create(SkippedRecordSchema, { record: BigInt(record), reason: SkipReason[reason], description }),
        ),
      };
    },

    async getImport(request, context) {
      return {
        progress: fromProgress(await imports.progress(importName(request, context), context.signal)),
      };
    },
  };
}

function importName({ importId }: { readonly importId: string }, context: HandlerContext): ImportName {
  const id = parseUserId(importId);
  if (id === undefined)
    throw new PrivacyError("INVALID_REQUEST", { message: "importId must be a valid UUID" });
  return { service: callingService(context), id };
}

function readRecords({ firstRecord, records }: ImportEdgesRequest) {
  if (records.length > maxRecords) {
    throw new PrivacyError("INVALID_REQUEST", { message: `records must hold at most ${maxRecords}` });
  }
  if (firstRecord < 0n)
    throw new PrivacyError("INVALID_REQUEST", { message: "firstRecord must not be negative" });
  return [Number(firstRecord), records.map(toImportRecord)] as const;
}

function fromProgress({ records, stored, unchanged, skipped }: ImportProgress) {
  return create(ImportProgressSchema, {
    records: BigInt(records),
    stored: BigInt(stored),
    unchanged: BigInt(unchanged),
    skipped: skipReasons
      .filter((reason) => skipped[reason] > 0)
      .map((reason) => ({ reason: SkipReason[reason], count: BigInt(skipped[reason]) })),
  });
}
