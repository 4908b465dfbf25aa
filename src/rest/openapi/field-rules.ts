import { type DescField, getOption, hasOption } from "@bufbuild/protobuf";
import {
  type FieldRules,
  field as fieldRules,
  type StringRules,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import type { JsonSchema } from "../json-schema.ts";

/** The validation rules of a field that JSON Schema has words for, apart for the field and for each item of a list. */
export interface FieldKeywords {
  readonly field: JsonSchema;
  readonly item: JsonSchema;
  /** Whether the field is always set. */
  readonly required: boolean;
}

/** Reads the `buf.validate` option of a field. */
export function keywordsOf(field: DescField): FieldKeywords {
  if (!hasOption(field, fieldRules)) return { field: {}, item: {}, required: false };
  const rules = getOption(field, fieldRules);
  const required = rules.required;
  if (rules.type.case !== "repeated") return { field: {}, item: ofValue(rules), required };
  const { items, minItems, maxItems, unique } = rules.type.value;
  return {
    field: {
      ...(minItems > 0n && { minItems: Number(minItems) }),
      ...(maxItems > 0n && { maxItems: Number(maxItems) }),
      ...(unique && { uniqueItems: true }),
    },
    item: items === undefined ? {} : ofValue(items),
    required,
  };
}

function ofValue({ type }: FieldRules): JsonSchema {
  if (type.case === "string") return ofString(type.value);
  if (type.case !== "int32" && type.case !== "uint32") return {};
  const { greaterThan, lessThan } = type.value;
  return {
    ...(greaterThan.case === "gte" && { minimum: greaterThan.value }),
    ...(greaterThan.case === "gt" && { exclusiveMinimum: greaterThan.value }),
    ...(lessThan.case === "lte" && { maximum: lessThan.value }),
    ...(lessThan.case === "lt" && { exclusiveMaximum: lessThan.value }),
  };
}

function ofString({ minLen, maxLen, pattern, wellKnown }: StringRules): JsonSchema {
  return {
    ...(wellKnown.case === "uuid" && { format: "uuid" }),
    ...(minLen > 0n && { minLength: Number(minLen) }),
    ...(maxLen > 0n && { maxLength: Number(maxLen) }),
    ...(pattern !== "" && { pattern }),
  };
}
