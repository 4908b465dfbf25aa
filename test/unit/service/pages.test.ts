import { expect } from "chai";
import fc from "fast-check";
import { PrivacyError } from "../../../src/domain/errors.ts";
import type { UserId } from "../../../src/domain/users.ts";
import { PageTokens } from "../../../src/service/pages.ts";

const tokens = new PageTokens(Buffer.alloc(32, 7));
const owner = "a11ce000-0000-4000-8000-000000000001" as UserId;
const other = "b0b00000-0000-4000-8000-000000000002" as UserId;
const position = { createdAt: 1_766_000_000_123_456n, id: "880e8400-e29b-41d4-a716-446655440033" };

const refused = (read: () => unknown) => expect(read).to.throw(PrivacyError, "Invalid page token");

describe("page tokens", () => {
  it("come back as the position they were made of", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }), fc.uuid(), (createdAt, id) => {
        expect(tokens.read("blocks", owner, tokens.write("blocks", owner, { createdAt, id }))).to.eql({
          createdAt,
          id,
        });
      }),
    );
  });

  it("are empty for the first page", () => {
    expect(tokens.read("blocks", owner, "")).to.equal(undefined);
  });

  it("are refused for another user, another list and another key", () => {
    const token = tokens.write("blocks", owner, position);
    refused(() => tokens.read("blocks", other, token));
    refused(() => tokens.read("mutes", owner, token));
    refused(() => new PageTokens(Buffer.alloc(32, 8)).read("blocks", owner, token));
  });

  it("are refused when any character is changed, added or taken away", () => {
    const token = tokens.write("blocks", owner, position);
    for (let i = 0; i < token.length; i++) {
      const changed = token.slice(0, i) + (token[i] === "A" ? "B" : "A") + token.slice(i + 1);
      refused(() => tokens.read("blocks", owner, changed));
    }
    for (const text of [
      `${token}A`,
      `${token}=`,
      ` ${token}`,
      token.slice(1),
      token.slice(0, -1),
      "AAAA",
      "%",
      "ü",
    ]) {
      refused(() => tokens.read("blocks", owner, text));
    }
  });
});
