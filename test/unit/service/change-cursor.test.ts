import { expect } from "chai";
import fc from "fast-check";
import { PrivacyError } from "../../../src/domain/errors.ts";
import type { UserId } from "../../../src/domain/users.ts";
import { type ChangeCursor, ChangeCursors, maskOfAll } from "../../../src/service/change-cursor.ts";
import { PageTokens } from "../../../src/service/pages.ts";

const key = Buffer.alloc(32, 7);
const cursors = new ChangeCursors(key);

const id = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n });
const tick = fc.record({ id, nonce: fc.uuid() });
const state = fc.record({
  table: fc.integer({ min: 0, max: 5 }),
  key: fc.array(fc.oneof(fc.uuid(), fc.constantFrom("last_seen", "profile_picture")), {
    minLength: 1,
    maxLength: 3,
  }),
});
const anyCursor: fc.Arbitrary<ChangeCursor> = fc.record({
  kinds: fc.integer({ min: 1, max: 63 }),
  log: fc.record({ from: tick, within: fc.option(fc.record({ to: tick, version: id }), { nil: undefined }) }),
  snapshot: fc.option(
    fc.record({
      after: fc.option(state, { nil: undefined }),
      server: fc.option(fc.bigInt({ min: 1n, max: 2n ** 62n }), { nil: undefined }),
      ended: fc.boolean(),
    }),
    {
      nil: undefined,
    },
  ),
});

const refused = (text: string, kinds: number, by = cursors) =>
  expect(() => by.read(text, kinds)).to.throw(PrivacyError, "Invalid cursor");

describe("cursors of the change log", () => {
  it("come back as what they were made of, within the length that a request may have", () => {
    fc.assert(
      fc.property(anyCursor, (cursor) => {
        const text = cursors.write(cursor);
        expect(cursors.read(text, cursor.kinds)).to.eql(cursor);
        expect(text.length).to.be.at.most(512);
      }),
    );
  });

  it("are refused when any bit is changed", () => {
    fc.assert(
      fc.property(anyCursor, (cursor) => {
        const bytes = Buffer.from(cursors.write(cursor), "base64url");
        for (let bit = 0; bit < bytes.length * 8; bit++) {
          const changed = Buffer.from(bytes);
          changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
          refused(changed.toString("base64url"), cursor.kinds);
          // Whatever kinds a request names.
          refused(changed.toString("base64url"), changed.readUInt8(1));
        }
      }),
      { numRuns: 10 },
    );
  });

  it("are refused when they are cut, prolonged or written otherwise", () => {
    fc.assert(
      fc.property(anyCursor, fc.string(), (cursor, other) => {
        const { kinds } = cursor;
        const text = cursors.write(cursor);
        for (let length = 0; length < text.length; length++) refused(text.slice(0, length), kinds);
        for (const near of [`${text}A`, `${text}=`, ` ${text}`, text.slice(1), `${text}\n`, `${text}${text}`])
          refused(near, kinds);
        refused(other, kinds);
      }),
      { numRuns: 20 },
    );
  });

  it("are refused for other kinds, and with another key", () => {
    fc.assert(
      fc.property(anyCursor, fc.integer({ min: 1, max: 63 }), (cursor, kinds) => {
        fc.pre(kinds !== cursor.kinds);
        const text = cursors.write(cursor);
        refused(text, kinds);
        refused(text, cursor.kinds, new ChangeCursors(Buffer.alloc(32, 8)));
      }),
    );
  });

  it("cannot be exchanged with page tokens", () => {
    const tokens = new PageTokens(key);
    const owner = "a11ce000-0000-4000-8000-000000000001" as UserId;
    const token = tokens.write("blocks", owner, { createdAt: 1n, id: owner });
    refused(token, Buffer.from(token, "base64url").readUInt8(1));
    fc.assert(
      fc.property(anyCursor, (cursor) => {
        expect(() => tokens.read("blocks", owner, cursors.write(cursor))).to.throw("Invalid page token");
      }),
    );
  });

  it("are for every kind when none is named", () => {
    expect(maskOfAll([])).to.equal(0b111111);
    expect(maskOfAll(["block"])).to.equal(0b000001);
    expect(maskOfAll(["user", "mute"])).to.equal(0b100010);
  });
});
