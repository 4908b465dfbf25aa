import { expect } from "chai";
import { columnsOf, printable, shortened, tableLines } from "../../../src/commands/terminal-text.ts";

describe("text for a terminal", () => {
  it("has no characters that control the terminal or the direction of the text", () => {
    const hostile: [string, string][] = [
      ["\u001b[31mred\u001b[0m", "[31mred[0m"],
      ["\u009b2J gone", "2J gone"],
      ["a\u0007\u0008\u007fb", "ab"],
      ["two\nlines\r\n\tand\u2028more\u0085", "two lines   and more"],
      ["\u202eevil\u202c \u2066isolated\u2069", "evil isolated"],
      ["zero\u200bwidth\ufeff\u00ad", "zerowidth"],
      ["half \ud800 pair", "half  pair"],
      ["می\u200cخواهم 👩\u200d👩\u200d👧", "می\u200cخواهم 👩\u200d👩\u200d👧"],
    ];
    for (const [text, shown] of hostile) expect(printable(text), JSON.stringify(text)).to.equal(shown);
  });

  it("is measured in the columns that it takes", () => {
    const columns: [string, number][] = [
      ["", 0],
      ["alice", 5],
      ["élodie", 6],
      ["e\u0301lodie", 6],
      ["漢字", 4],
      ["ひらがな", 8],
      ["한국어", 6],
      ["ＡＢ", 4],
      ["ｱｲ", 2],
      ["😀", 2],
      ["👩\u200d👩\u200d👧", 2],
      ["🇹🇿", 2],
      ["☺️", 2],
      ["\u0301", 0],
      ["𠀀", 2],
    ];
    for (const [text, count] of columns) expect(columnsOf(text), text).to.equal(count);
  });

  it("is shortened between characters, to no more columns than there are", () => {
    expect(shortened("alice", 5)).to.equal("alice");
    expect(shortened("alicia", 5)).to.equal("alic…");
    expect(shortened("漢字漢字", 8)).to.equal("漢字漢字");
    expect(shortened("漢字漢字", 7)).to.equal("漢字漢…");
    expect(shortened("漢字漢字", 6)).to.equal("漢字…");
    expect(shortened("a👩\u200d👩\u200d👧b", 3)).to.equal("a…");
    for (const text of ["漢字漢字漢字", "e\u0301".repeat(9), "👩\u200d👩\u200d👧".repeat(5)])
      for (let columns = 1; columns < 12; columns++)
        expect(columnsOf(shortened(text, columns))).to.be.at.most(columns);
  });

  it("is laid out in columns, whatever the texts and their colours are", () => {
    const red = (text: string) => `<${text}>`;
    const rows = [
      ["name", "n", "last"],
      ["漢字", { text: "1", paint: red }, "x"],
      [{ text: "e\u0301", paint: red }, "1000", ""],
      ["alone"],
    ];
    expect(tableLines(rows)).to.eql([
      "  name   n     last",
      "  漢字   <1>     x",
      "  <e\u0301>      1000",
      "  alone",
    ]);
    expect(tableLines([])).to.eql([]);
  });
});
