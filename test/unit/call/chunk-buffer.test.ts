import { expect } from "chai";
import { ChunkBuffer } from "../../../src/call/streams.ts";

describe("the chunks of a body", () => {
  const chunksOf = (texts: readonly string[]) => {
    const chunks = new ChunkBuffer();
    for (const text of texts) chunks.push(Buffer.from(text));
    return chunks;
  };

  it("keep their order, however many there are", () => {
    for (const count of [0, 1, 2, 127, 128, 129, 1_000]) {
      const texts = Array.from({ length: count }, (_, i) => `${i} `);
      const chunks = chunksOf(texts);
      expect(chunks.concat().toString(), `${count} chunks`).to.equal(texts.join(""));
      expect(Buffer.concat(chunks.all()).toString()).to.equal(texts.join(""));
      expect(chunks.bytes).to.equal(texts.join("").length);
    }
  });

  it("are few when they are small", () => {
    expect(chunksOf(Array.from({ length: 10_000 }, () => "a")).all()).to.have.length.below(300);
  });

  it("are not copied when there is but one", () => {
    const chunks = new ChunkBuffer();
    const only = Buffer.from("all");
    chunks.push(only);
    expect(chunks.concat()).to.equal(only);
  });
});
