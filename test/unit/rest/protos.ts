import {
  create,
  createFileRegistry,
  type DescEnum,
  type DescMessage,
  type DescService,
  setExtension,
} from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  DescriptorProtoSchema,
  FieldDescriptorProtoSchema,
  FieldOptionsSchema,
  FileDescriptorProtoSchema,
  file_google_protobuf_field_mask,
  file_google_protobuf_timestamp,
  FieldDescriptorProto_Label as Label,
  MethodOptionsSchema,
  FieldDescriptorProto_Type as Type,
} from "@bufbuild/protobuf/wkt";
import { http } from "../../../gen/google/api/annotations_pb.ts";
import { HttpRuleSchema } from "../../../gen/google/api/http_pb.ts";
import { DocumentationSchema, documentation } from "../../../gen/nexgate/rest/v1/documentation_pb.ts";
import { Envelope, omit_empty, ReplySchema, reply } from "../../../gen/nexgate/rest/v1/reply_pb.ts";

export { Envelope, Type };

/** A field as `[name, type, options]`; a message or enum type is named by a string. */
export type FieldSpec = readonly [
  name: string,
  type: Type | `enum:${string}` | `message:${string}`,
  options?: { repeated?: boolean; optional?: boolean; oneof?: boolean; omitEmpty?: boolean },
];

interface RuleSpec {
  readonly get?: string;
  readonly put?: string;
  readonly post?: string;
  readonly delete?: string;
  readonly patch?: string;
  readonly custom?: string;
  readonly body?: string;
  readonly responseBody?: string;
}

export interface MethodSpec {
  readonly name: string;
  readonly input: string;
  readonly output: string;
  readonly rules: readonly RuleSpec[];
  readonly streams?: boolean;
  readonly reply?:
    | {
        envelope?: Envelope;
        successMessage?: string;
        invalidRequestMessage?: string;
        failureMessage?: string;
      }
    | undefined;
  readonly documentation?: { group?: string; errorReasons?: string[]; exampleRequest?: string };
}

export interface FileSpec {
  readonly messages: Readonly<Record<string, readonly FieldSpec[]>>;
  readonly enums?: Readonly<Record<string, readonly string[]>>;
  readonly methods?: readonly MethodSpec[];
}

const tests = "test.rest.v1";
const imported = [file_google_protobuf_field_mask.proto, file_google_protobuf_timestamp.proto];

/** Builds descriptors at run time, as `buf generate` would have made them, for rules that no product proto has. */
export function define({ messages, enums = {}, methods = [] }: FileSpec) {
  const file = create(FileDescriptorProtoSchema, {
    name: "test/rest/v1/test.proto",
    package: tests,
    syntax: "proto3",
    dependency: imported.map(({ name }) => name),
    messageType: Object.entries(messages).map(([name, fields]) => messageOf(name, fields)),
    enumType: Object.entries(enums).map(([name, values]) => ({
      name,
      value: values.map((value, number) => ({ name: value, number })),
    })),
    service: [
      {
        name: "TestService",
        method: methods.map((method) => ({
          name: method.name,
          inputType: `.${tests}.${method.input}`,
          outputType: `.${tests}.${method.output}`,
          serverStreaming: method.streams ?? false,
          options: optionsOf(method),
        })),
      },
    ],
  });
  const registry = createFileRegistry(file, (path) => imported.find(({ name }) => name === path));
  return {
    service: registry.getService(`${tests}.TestService`) as DescService,
    message: (name: string) => registry.getMessage(`${tests}.${name}`) as DescMessage,
    enum: (name: string) => registry.getEnum(`${tests}.${name}`) as DescEnum,
  };
}

const omitEmpty = create(FieldOptionsSchema);
setExtension(omitEmpty, omit_empty, true);

function messageOf(name: string, fields: readonly FieldSpec[]): DescriptorProto {
  const grouped = fields.filter(([, , options]) => options?.optional || options?.oneof);
  return create(DescriptorProtoSchema, {
    name,
    field: fields.map((spec, index) => fieldOf(spec, index + 1, grouped.indexOf(spec))),
    oneofDecl: grouped.map(([field]) => ({ name: `_${field}` })),
  });
}

function fieldOf([name, type, options = {}]: FieldSpec, number: number, oneofIndex: number) {
  const [kind, typeName] = typeof type === "string" ? type.split(":") : [];
  return create(FieldDescriptorProtoSchema, {
    name,
    number,
    jsonName: name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase()),
    label: options.repeated ? Label.REPEATED : Label.OPTIONAL,
    type: kind === "enum" ? Type.ENUM : kind === "message" ? Type.MESSAGE : (type as Type),
    ...(typeName === undefined
      ? {}
      : { typeName: typeName.includes(".") ? `.${typeName}` : `.${tests}.${typeName}` }),
    ...(options.omitEmpty ? { options: omitEmpty } : {}),
    ...(oneofIndex < 0 ? {} : { oneofIndex, proto3Optional: options.optional ?? false }),
  });
}

function optionsOf({ rules, reply: replySpec, documentation: documentationSpec }: MethodSpec) {
  const options = create(MethodOptionsSchema);
  const [first, ...additional] = rules.map(ruleOf);
  if (first !== undefined) {
    first.additionalBindings.push(...additional);
    setExtension(options, http, first);
  }
  if (replySpec !== undefined) setExtension(options, reply, create(ReplySchema, replySpec));
  if (documentationSpec !== undefined)
    setExtension(options, documentation, create(DocumentationSchema, documentationSpec));
  return options;
}

function ruleOf({ body = "", responseBody = "", custom, ...pattern }: RuleSpec) {
  const [verb, path] = Object.entries(pattern)[0] ?? [];
  return create(HttpRuleSchema, {
    body,
    responseBody,
    pattern:
      custom !== undefined
        ? { case: "custom", value: { kind: custom, path: "/" } }
        : { case: verb as "get", value: path as string },
  });
}
