import type {
  DescriptorProto,
  EnumDescriptorProto,
  FieldDescriptorProto,
  FileDescriptorProto,
} from "@bufbuild/protobuf/wkt";
import { FieldDescriptorProto_Label, FieldDescriptorProto_Type } from "@bufbuild/protobuf/wkt";

/** Field numbers run to 2^29 - 1; a descriptor gives the end of a range exclusively. */
const endOfNumbers = 0x20000000;

/**
 * Prints a proto2 file from its descriptor, as far as a compiler needs it: names, numbers, types, oneofs and
 * extension ranges. Comments, options and defaults are left out.
 */
export function printProto(file: FileDescriptorProto): string {
  return [
    `syntax = "${file.syntax || "proto2"}";`,
    `package ${file.package};`,
    ...file.dependency.map((name) => `import "${name}";`),
    ...file.enumType.map(printEnum),
    ...file.messageType.map(printMessage),
    ...file.extension.map((field) => `extend ${field.extendee} { ${printField(field)} }`),
    "",
  ].join("\n");
}

function printEnum(type: EnumDescriptorProto): string {
  return block(
    `enum ${type.name}`,
    type.value.map((value) => `${value.name} = ${value.number};`),
  );
}

function printMessage(type: DescriptorProto): string {
  const inOneof = (field: FieldDescriptorProto) =>
    Object.hasOwn(field, "oneofIndex") && !field.proto3Optional;
  const oneofs = type.oneofDecl.map((oneof, index) =>
    block(
      `oneof ${oneof.name}`,
      type.field
        .filter((field) => inOneof(field) && field.oneofIndex === index)
        .map((field) => printField(field, "")),
    ),
  );
  const ranges = type.extensionRange.map(
    ({ start, end }) => `extensions ${start} to ${end >= endOfNumbers ? "max" : end - 1};`,
  );
  return block(`message ${type.name}`, [
    ...oneofs,
    ...type.field.filter((field) => !inOneof(field)).map((field) => printField(field, label(field), type)),
    ...type.enumType.map(printEnum),
    ...type.nestedType.filter((nested) => !nested.options?.mapEntry).map(printMessage),
    ...ranges,
  ]);
}

function printField(field: FieldDescriptorProto, prefix = label(field), parent?: DescriptorProto): string {
  const entry = parent?.nestedType.find(
    (nested) => nested.options?.mapEntry && field.typeName.endsWith(`.${parent.name}.${nested.name}`),
  );
  const [key, value] = entry?.field ?? [];
  const type = key && value ? `map<${typeName(key)}, ${typeName(value)}>` : `${prefix}${typeName(field)}`;
  return `${type} ${field.name} = ${field.number};`;
}

function label(field: FieldDescriptorProto): string {
  return `${FieldDescriptorProto_Label[field.label]?.toLowerCase()} `;
}

function typeName(field: FieldDescriptorProto): string {
  return field.typeName || (FieldDescriptorProto_Type[field.type]?.toLowerCase() ?? "");
}

function block(head: string, lines: string[]): string {
  return [`${head} {`, ...lines, "}"].join("\n");
}
