import { create, type DescField, type Message } from "@bufbuild/protobuf";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { expect } from "chai";
import { messageReader, messageWriter } from "../../../../src/rest/message-json.ts";
import { Comments } from "../../../../src/rest/openapi/document.ts";
import { Schemas } from "../../../../src/rest/openapi/schemas.ts";
import { everyType } from "../every-type.ts";
import { define, Type } from "../protos.ts";

const every = everyType.message("Every");

function validator(make: (schemas: Schemas) => object) {
  const schemas = new Schemas(new Comments([]));
  const schema = make(schemas);
  const ajv = formats.default(new Ajv2020({ strict: false }));
  return ajv.compile({ ...schema, components: { schemas: schemas.named } });
}

describe("the schemas of fields", () => {
  const values: unknown[] = [
    null,
    true,
    0,
    1,
    -1,
    1.5,
    2 ** 31,
    2 ** 32,
    1e300,
    "",
    "x",
    "7",
    "-7",
    "07",
    "red",
    "dark_blue",
    "RED",
    "unspecified",
    "2025-12-11T10:30:45Z",
    "2025-12-11",
    {},
    { nameOf: "x" },
    { nameOf: 1 },
    { other: 1 },
    { deep: { numbers: [1, 2] } },
    [],
  ];

  for (const field of every.fields.filter(({ name }) => !name.startsWith("maybe_"))) {
    it(`promise of ${field.name} only what is read`, () => {
      const promised = validator((schemas) => schemas.ofRequest(field));
      const list = field.fieldKind === "list";
      let accepted = 0;
      for (const value of list ? [...values, ...values.map((item) => [item, item])] : values) {
        if (!promised(value)) continue;
        accepted++;
        read(field, value);
      }
      expect(accepted).to.be.at.least(1);
    });
  }

  function read(field: DescField, value: unknown): void {
    messageReader(every)({ [field.jsonName]: value }, "", create(every));
  }

  it("fit what is written, for an empty message and for a full one", () => {
    const fits = validator((schemas) =>
      schemas.ofReply(
        define({
          messages: { Holder: [["every", "message:Every"]], Every: [["text", Type.STRING]] },
        }).message("Holder").fields[0] as DescField,
      ),
    );
    expect(fits(null)).to.equal(true);
    for (const field of every.fields) {
      const written = validator((schemas) => schemas.ofReply(field));
      for (const message of [create(every), full()]) {
        const value = JSON.parse(messageWriter(every)(message))[field.jsonName];
        expect(written(value), `${field.name}: ${JSON.stringify(value)}`).to.equal(true);
      }
    }
  });

  function full(): Message {
    const message = create(every);
    messageReader(every)(
      {
        text: "x",
        flag: true,
        int_32: -5,
        color: "red",
        at: "2025-12-11T10:30:45Z",
        inner: { nameOf: "x", deep: { numbers: [1] } },
        manyText: ["x"],
        manyColor: ["red"],
        manyInner: [{ nameOf: "y" }],
        manyAt: ["2025-12-11T10:30:45Z"],
        maybeText: "x",
        maybeNumber: 5,
      },
      "",
      message,
    );
    return message;
  }

  it("cannot share a name", () => {
    const one = define({ messages: { Item: [["name", Type.STRING]], Holder: [["item", "message:Item"]] } });
    const other = define({ messages: { Item: [["id", Type.STRING]], Holder: [["item", "message:Item"]] } });
    const schemas = new Schemas(new Comments([]));
    schemas.ofReply(one.message("Holder").fields[0] as DescField);
    schemas.ofReply(one.message("Holder").fields[0] as DescField);
    expect(() => schemas.ofReply(other.message("Holder").fields[0] as DescField)).to.throw(
      "Item would be the name of two schemas",
    );
  });
});
