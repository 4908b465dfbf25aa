import { type DescEnum, type DescField, type DescMessage, getOption, hasOption } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import {
  type FieldRules,
  field as fieldRules,
  type StringRules,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { codecOf, enumNames, type JsonSchema } from "../codec.ts";
import { canBeLeftOut } from "../message-json.ts";
import type { Comments } from "./document.ts";

/** Makes the JSON Schemas of fields and messages, and collects those that have a name. */
export class Schemas {
  readonly comments: Comments;
  readonly #named = new Map<string, { source: unknown; schema: JsonSchema }>();

  constructor(comments: Comments) {
    this.comments = comments;
  }

  /** The schemas to which others refer, by name. */
  get named(): Readonly<Record<string, JsonSchema>> {
    const sorted = [...this.#named].sort(([a], [b]) => (a < b ? -1 : 1));
    return Object.fromEntries(sorted.map(([name, { schema }]) => [name, schema]));
  }

  /** Refers to a schema by its name. Throws when another schema has that name: names are without their packages. */
  refer(name: string, source: unknown, make: () => JsonSchema): JsonSchema {
    const known = this.#named.get(name);
    if (known === undefined) this.#named.set(name, { source, schema: make() });
    else if (known.source !== source) throw new Error(`${name} would be the name of two schemas`);
    return { $ref: `#/components/schemas/${name}` };
  }

  /** What a client sends for a field. */
  ofRequest(field: DescField): JsonSchema {
    const message = field.message as DescMessage;
    return this.#ofField(field, () => this.requestObject(message, message.fields, new Set()));
  }

  /**
   * An object of fields that a client sends: other names are refused, so the schema is closed. In a merge patch every
   * field may be null.
   */
  requestObject(
    desc: DescMessage,
    fields: readonly DescField[],
    required: ReadonlySet<DescField>,
    isMergePatch = false,
  ): JsonSchema {
    const ofField = (field: DescField) =>
      isMergePatch ? orNull(this.ofRequest(field)) : this.ofRequest(field);
    return {
      ...describe(this.comments.of(desc)),
      type: "object",
      properties: Object.fromEntries(fields.map((field) => [field.jsonName, ofField(field)])),
      ...(required.size > 0 && { required: fields.filter((field) => required.has(field)).map(jsonName) }),
      additionalProperties: false,
    };
  }

  /** What a client gets for a field that is there; null where nothing makes sure that it is set. */
  ofReply(field: DescField): JsonSchema {
    const schema = this.#ofField(field, () => this.#replyMessage(field.message as DescMessage));
    const tellsAbsence =
      field.fieldKind !== "list" &&
      (field.presence !== FeatureSet_FieldPresence.IMPLICIT ||
        (field.enum !== undefined && !enumNames(field.enum).names.has(0)));
    return tellsAbsence && !keywordsOf(field).required && !canBeLeftOut(field) ? orNull(schema) : schema;
  }

  #ofField(field: DescField, ofMessage: () => JsonSchema): JsonSchema {
    const keywords = keywordsOf(field);
    const codec = codecOf(field);
    const value =
      field.enum !== undefined ? this.#enum(field.enum) : codec === undefined ? ofMessage() : codec.schema;
    const description = describe(this.comments.of(field));
    const item = { ...value, ...keywords.item };
    if (field.fieldKind !== "list") return { ...description, ...item };
    return { ...description, type: "array", items: item, ...keywords.field };
  }

  #replyMessage(desc: DescMessage): JsonSchema {
    return this.refer(desc.name, desc, () => ({
      ...describe(this.comments.of(desc)),
      type: "object",
      properties: Object.fromEntries(desc.fields.map((field) => [field.jsonName, this.ofReply(field)])),
      required: desc.fields.filter((field) => !canBeLeftOut(field)).map(jsonName),
    }));
  }

  #enum(desc: DescEnum): JsonSchema {
    return this.refer(desc.name, desc, () => {
      const { names } = enumNames(desc);
      const lines = desc.values.flatMap((value) => {
        const name = names.get(value.number);
        const comment = this.comments.of(value);
        return name === undefined || comment === undefined ? [] : [`- \`${name}\`: ${comment}`];
      });
      const description = [this.comments.of(desc), lines.join("\n")].filter(Boolean).join("\n\n");
      return { ...describe(description), type: "string", enum: [...names.values()] };
    });
  }
}

/** The `description` keyword, where there is something to say. */
export function describe(description: string | undefined): { description?: string } {
  return description ? { description: description.replaceAll(/(?<!\n)\n(?![\n-])/g, " ") } : {};
}

/** A value or null; what describes the value describes both. */
function orNull({ description, ...schema }: JsonSchema): JsonSchema {
  return { ...(description !== undefined && { description }), anyOf: [schema, { type: "null" }] };
}

function jsonName(field: DescField): string {
  return field.jsonName;
}

/** The validation rules of a field as keywords of JSON Schema, for the field itself and for each item of a list. */
interface FieldKeywords {
  readonly field: JsonSchema;
  readonly item: JsonSchema;
  /** Whether the field is always set. */
  readonly required: boolean;
}

/** Reads the `buf.validate` option of a field. */
function keywordsOf(field: DescField): FieldKeywords {
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
