import { define, type FieldSpec, Type } from "./protos.ts";

const singular: FieldSpec[] = [
  ["text", Type.STRING],
  ["flag", Type.BOOL],
  ["int_32", Type.INT32],
  ["color", "enum:Color"],
  ["at", "message:google.protobuf.Timestamp"],
  ["inner", "message:Inner"],
];

/** A message with fields of every type that REST supports: singular, repeated and optional. */
export const everyType = define({
  enums: { Color: ["COLOR_UNSPECIFIED", "COLOR_RED", "COLOR_DARK_BLUE"] },
  messages: {
    Inner: [
      ["name_of", Type.STRING],
      ["deep", "message:Deep"],
    ],
    Deep: [["numbers", Type.INT32, { repeated: true }]],
    Every: [
      ...singular,
      ...singular.map(([name, type]): FieldSpec => [`many_${name}`, type, { repeated: true }]),
      ["maybe_text", Type.STRING, { optional: true }],
      ["maybe_number", Type.INT32, { optional: true }],
    ],
    // As Every without the message fields that no text can set.
    Flat: [
      ...singular.slice(0, -1),
      ["many_text", Type.STRING, { repeated: true }],
      ["many_int_32", Type.INT32, { repeated: true }],
      ["maybe_number", Type.INT32, { optional: true }],
    ],
  },
});
