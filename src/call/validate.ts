import type { DescField, DescMessage, MessageShape } from "@bufbuild/protobuf";
import { type Path, pathToString } from "@bufbuild/protobuf/reflect";
import { createValidator, type Violation } from "@bufbuild/protovalidate";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { errorDomain } from "../domain/wire-names.ts";

const validator = createValidator();

/**
 * The most violations that an answer names. It must stay below 8 KB, the most that some clients of gRPC read in headers,
 * and be no means to make a small request cost a large answer.
 */
const maxNamed = 20;

/** Which rules of its definition a message breaks, for people to read; undefined when it keeps them all. */
export function brokenRules<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
): string | undefined {
  const result = validator.validate(schema, message);
  if (result.kind === "error") return "a rule cannot be checked";
  return result.kind === "valid" ? undefined : describeViolations(result.violations);
}

/** The fields of a message that break its rules. */
export function fieldsAtFault<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
): ReadonlySet<DescField> {
  const { violations = [] } = validator.validate(schema, message);
  return new Set(violations.flatMap(({ field: [first] }) => (first?.kind === "field" ? [first] : [])));
}

/** Throws `INVALID_ARGUMENT` when a message breaks rules of its definition; names the violations (AIP-193), if not too many. */
export function validate<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): void {
  const result = validator.validate(schema, message);
  if (result.kind === "valid") return;
  if (result.kind === "error") throw result.error;
  throw invalidRequest(result.violations);
}

function invalidRequest(violations: readonly Violation[]): ConnectError {
  return toInvalidRequest(
    describeViolations(violations),
    violations
      .slice(0, maxNamed)
      .map(({ field, message }) => ({ field: pathToString(field), description: message })),
  );
}

/** The failure of a request whose field, such as `a.b_c`, breaks a rule that its definition does not state. */
export function invalidField(field: string, description: string): ConnectError {
  const jsonName = field.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
  return toInvalidRequest(`${jsonName} ${description}`, [{ field, description }]);
}

function toInvalidRequest(
  message: string,
  fieldViolations: { readonly field: string; readonly description: string }[],
): ConnectError {
  return new ConnectError(message, Code.InvalidArgument, undefined, [
    { desc: ErrorInfoSchema, value: { reason: "INVALID_REQUEST", domain: errorDomain } },
    { desc: BadRequestSchema, value: { fieldViolations } },
  ]);
}

function describeViolations(violations: readonly Violation[]): string {
  const named = violations
    .slice(0, maxNamed)
    .map(({ field, message }) => `${jsonPath(field)} ${message}`.trimStart());
  const others = violations.length - named.length;
  return [...named, ...(others > 0 ? [`and ${others} more`] : [])].join("; ");
}

/** The path of a field as JSON spells it, since people meet the message over REST first. */
function jsonPath(path: Path): string {
  return path
    .map((step) => {
      if (step.kind === "field") return `.${step.jsonName}`;
      if (step.kind === "oneof") return `.${step.name}`;
      if (step.kind === "list_sub") return `[${step.index}]`;
      return pathToString([step]);
    })
    .join("")
    .replace(/^\./, "");
}
