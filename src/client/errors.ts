import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { type Any, anyUnpack } from "@bufbuild/protobuf/wkt";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { type Status, StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { ErrorReason, ErrorReasonSchema } from "../../gen/nexgate/privacy/v1/error_reason_pb.ts";
import { errorDomain, requestIdHeader } from "../domain/wire-names.ts";

/**
 * Whether to repeat the call:
 *
 * - `no`: it would fail again.
 * - `safe`: it had no effect. Repeat it after `retryAfterMs`.
 * - `uncertain`: it may have had its effect. Repeat it after a pause: a block or a mute with the same idempotency key,
 *   any other change as it is.
 */
export type Retry = "no" | "safe" | "uncertain";

/** A field that breaks its rules. */
export interface Violation {
  /** As the definition names it: `owner_ids[3]`. Empty when the rule is one of the whole message. */
  readonly field: string;
  readonly description: string;
}

/** What the error of a call says. */
export interface CallFailure {
  /** The code of gRPC: one of `Code` of Connect, or of `status` of grpc-js. */
  readonly code: number;
  /** `UNSPECIFIED` when the service gave none that this package knows, such as when it could not be reached. */
  readonly reason: ErrorReason;
  /** For people; it may change. */
  readonly message: string;
  readonly retry: Retry;
  /** For how long the service asks to wait. */
  readonly retryAfterMs: number | undefined;
  /** The first 20 at most. */
  readonly violations: readonly Violation[];
  /** Under which the log of the service has the call. */
  readonly requestId: string | undefined;
  /** The headers and trailers of the answer that are text. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** What is known of a failed call, whatever made it. */
interface FailedCall {
  readonly code: number;
  readonly message: string;
  readonly metadata: Readonly<Record<string, string>>;
  find<Desc extends DescMessage>(schema: Desc): MessageShape<Desc> | undefined;
}

const { values } = ErrorReasonSchema;
/** The codes of gRPC after which a call may have had its effect. */
const uncertainCodes = { deadlineExceeded: 4, unavailable: 14 };

/** Reads the error of a call, of Connect or of grpc-js; undefined for any other value. */
export function callFailure(error: unknown): CallFailure | undefined {
  const failed = readConnectError(error) ?? readServiceError(error);
  if (failed === undefined) return undefined;
  const { code, message, metadata } = failed;
  const info = failed.find(ErrorInfoSchema);
  const reason = info?.domain === errorDomain ? reasonOf(info.reason) : ErrorReason.UNSPECIFIED;
  const delay = failed.find(RetryInfoSchema)?.retryDelay;
  return {
    code,
    reason,
    message,
    retry: retryOf(code, reason),
    retryAfterMs: delay === undefined ? undefined : Number(delay.seconds) * 1_000 + delay.nanos / 1_000_000,
    violations: (failed.find(BadRequestSchema)?.fieldViolations ?? []).map(({ field, description }) => ({
      field,
      description,
    })),
    requestId: metadata[requestIdHeader],
    metadata,
  };
}

function reasonOf(name: string): ErrorReason {
  const found = values.find((value) => value.name === `ERROR_REASON_${name}`);
  return found === undefined ? ErrorReason.UNSPECIFIED : (found.number as ErrorReason);
}

function retryOf(code: number, reason: ErrorReason): Retry {
  if (reason === ErrorReason.RATE_LIMITED || reason === ErrorReason.OVERLOADED) return "safe";
  return Object.values(uncertainCodes).includes(code) ? "uncertain" : "no";
}

/** By its members, not by its class: `@connectrpc/connect` may be missing, or be there twice. */
function readConnectError(error: unknown): FailedCall | undefined {
  if (!(error instanceof Error && "code" in error && "metadata" in error && "findDetails" in error))
    return undefined;
  const { code, metadata, findDetails } = error;
  if (typeof code !== "number" || !(metadata instanceof Headers) || typeof findDetails !== "function")
    return undefined;
  return {
    code,
    message: "rawMessage" in error ? String(error.rawMessage) : error.message,
    metadata: Object.fromEntries(metadata),
    find: (schema) => findDetails.call(error, schema)[0],
  };
}

function readServiceError(error: unknown): FailedCall | undefined {
  if (!(error instanceof Error && "code" in error && "details" in error && "metadata" in error))
    return undefined;
  const { code, details, metadata } = error;
  if (typeof code !== "number" || typeof details !== "string" || !isGrpcMetadata(metadata)) return undefined;
  const all = metadata.getMap();
  const bytes = all["grpc-status-details-bin"];
  const status = bytes instanceof Uint8Array ? readStatus(bytes) : undefined;
  return {
    code,
    message: details,
    metadata: Object.fromEntries(
      Object.entries(all).flatMap(([name, value]) => (typeof value === "string" ? [[name, value]] : [])),
    ),
    find: (schema) => status?.details.map((detail) => readDetail(detail, schema)).find(Boolean),
  };
}

/** The status in the trailers of a call; undefined when it is malformed, since a proxy may have made it. */
function readStatus(bytes: Uint8Array): Status | undefined {
  try {
    return fromBinary(StatusSchema, bytes);
  } catch {
    return undefined;
  }
}

function readDetail<Desc extends DescMessage>(detail: Any, schema: Desc): MessageShape<Desc> | undefined {
  try {
    return anyUnpack(detail, schema);
  } catch {
    return undefined;
  }
}

function isGrpcMetadata(value: unknown): value is { getMap(): Record<string, unknown> } {
  return (
    typeof value === "object" && value !== null && "getMap" in value && typeof value.getMap === "function"
  );
}
