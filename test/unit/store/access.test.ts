import { expect } from "chai";
import { uuidArray } from "../../../src/store/access.ts";

const id = "0a1b2c3d-4e5f-4a6b-8c7d-9e8f00112233";

describe("a binary array of UUIDs", () => {
  it("contains the bytes of each id, and nulls", () => {
    const hex = uuidArray([id, null]).toString("hex");
    expect(hex.slice(40)).to.equal(`00000010${id.replaceAll("-", "")}ffffffff`);
  });

  const wrong = [
    "",
    id.slice(1),
    `${id}0`,
    `${id}00`,
    id.replace("0", "g"),
    id.replace("0", "\u0130"),
    id.replace("0", "\u00ff"),
    id.replaceAll("-", ""),
    `${id.slice(1)}-`,
  ];
  for (const text of wrong) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      expect(() => uuidArray([id, text])).to.throw("an id is no UUID");
    });
  }
});
