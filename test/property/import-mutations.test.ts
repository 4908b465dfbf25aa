import { expect } from "chai";
import fc from "fast-check";
import type { FileRecord } from "../../src/importer/read-records.ts";
import { id, type Read, readContent } from "../support/import-content.ts";
import { runs } from "./runs.ts";

/** A record of a valid file. */
interface Original {
  readonly type: "user" | "block" | "mute" | "setting" | "exception";
  readonly n: number;
  readonly firstName: string;
  readonly isVerified: boolean;
  readonly createdAt: string;
}

/** A valid file: its lines, and what each record was read as. */
interface ValidFile {
  readonly name: string;
  readonly header: string;
  /** Each record, with what ends its last line. */
  readonly texts: readonly string[];
}

const originals = fc.array(
  fc.record<Original>({
    type: fc.constantFrom("user", "block", "mute", "setting", "exception"),
    n: fc.integer({ min: 1, max: 999 }),
    firstName: fc.constantFrom(
      "Ann",
      'Ann "Annie"',
      "O'Hara, B",
      "two\nlines",
      "Zoë\u2028\u{1F600}",
      "x;y|z",
      "",
    ),
    isVerified: fc.boolean(),
    createdAt: fc.constantFrom("2024-05-01T12:00:00Z", "1714564800", "2024-05-01 14:00:00.25+02", ""),
  }),
  { minLength: 1, maxLength: 8 },
);

const columns = [
  ...["type", "id", "userName", "firstName", "isVerified", "ownerId", "targetId", "createdAt", "scopes"],
  ...["userId", "setting", "audience", "exceptedId"],
];

function cells({ type, n, firstName, isVerified, createdAt }: Original): string[] {
  const other = id(n + 1);
  switch (type) {
    case "user":
      return [type, id(n), `user${n}`, firstName, String(isVerified), "", "", "", "", "", "", "", ""];
    case "setting":
      return [type, "", "", "", "", "", "", "", "", id(n), "groups", "contact_blacklist", ""];
    case "exception":
      return [type, "", "", "", "", "", "", createdAt, "", id(n), "groups", "", other];
    default:
      return [
        ...[type, "", "", "", "", id(n), other, createdAt],
        ...[type === "mute" ? "content notifications" : "", "", "", "", ""],
      ];
  }
}

function csvFile(records: readonly Original[], separator: string): ValidFile {
  const needsQuotes = new RegExp(`["\\n${separator}]`);
  const cell = (text: string) => (needsQuotes.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const texts = records.map((record) => `${cells(record).map(cell).join(separator)}\n`);
  return { name: "file.csv", header: `${columns.join(separator)}\n`, texts };
}

function ndjsonFile(records: readonly Original[]): ValidFile {
  const texts = records.map((record) => {
    const fields = cells(record).map((value, column) => [columns[column], value] as const);
    return `${JSON.stringify(Object.fromEntries(fields.filter(([, value]) => value !== "")))}\n`;
  });
  return { name: "file.ndjson", header: "", texts };
}

/** Something happens to a few characters of a file: they are replaced. */
interface Mutation {
  /** Where, as a part of the file. */
  readonly at: number;
  readonly removed: number;
  readonly inserted: string;
}

const hostile = [
  '"',
  '""',
  ",",
  ";",
  "\n",
  "\r",
  "{",
  "}",
  "[",
  "\\",
  "\u2028",
  "\uFEFF",
  "\0",
  "x",
  "1",
  "\t",
  " ",
  ":",
];
const mutations = fc.record<Mutation>({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  removed: fc.oneof(fc.constant(0), fc.constant(1), fc.nat(60)),
  inserted: fc.oneof(fc.constant(""), fc.constantFrom(...hostile), fc.string({ maxLength: 8 })),
});

/** The file after the mutation, and which of its records it left alone, each with its text. */
function mutate({ header, texts }: ValidFile, { at, removed, inserted }: Mutation) {
  const text = header + texts.join("");
  const from = Math.floor(at * text.length);
  const to = Math.min(from + removed, text.length);
  let start = header.length;
  const untouched = texts.flatMap((record, number) => {
    const [begin, end] = [start, start + record.length];
    start = end;
    return to < begin || from >= end || (from === to && inserted === "") ? [number] : [];
  });
  return { text: text.slice(0, from) + inserted + text.slice(to), untouched };
}

/** What a record says, without where it is. */
const content = ({ record }: FileRecord) =>
  JSON.stringify(record, (_, value) => (typeof value === "bigint" ? `${value}` : value));

/** Every text that would be stored. */
function textsOf({ record: { record } }: FileRecord): string[] {
  return Object.values(record?.value ?? {}).filter((value) => typeof value === "string");
}

/** Whether a file has a text, be it as JSON or as CSV writes it. */
function holds(file: string, text: string): boolean {
  const unescaped = file.replaceAll('""', '"');
  return (
    [text, JSON.stringify(text).slice(1, -1)].some((form) => file.includes(form)) || unescaped.includes(text)
  );
}

/** What is wrong with how a mutated file was read, given how the valid one was; nothing when it was refused. */
async function problemsOf(
  file: ValidFile,
  mutation: Mutation,
  read = (name: string, text: string): Promise<Read> => readContent(name, text),
): Promise<string[]> {
  const valid = await readContent(file.name, file.header + file.texts.join(""));
  expect(valid.records.map(({ problem }) => problem)).to.eql(file.texts.map(() => undefined));
  const { text, untouched } = mutate(file, mutation);
  const { records, refusal } = await read(file.name, text);
  if (refusal !== undefined) return [];
  const good = records.filter(({ problem }) => problem === undefined);
  const invented = good.flatMap(textsOf).filter((value) => !holds(text, value));
  const found = good.map(content);
  let next = 0;
  const lost = untouched.filter((number) => {
    const at = found.indexOf(content(valid.records[number] as FileRecord), next);
    if (at >= 0) next = at + 1;
    return at < 0;
  });
  return [...invented.map((value) => `invented ${value}`), ...lost.map((number) => `lost ${number}`)];
}

describe("a file of which a few characters were changed", function () {
  this.timeout(0);
  const files = fc.oneof(
    originals.map((records) => ndjsonFile(records)),
    fc
      .tuple(originals, fc.constantFrom(",", ";", "\t", "|"))
      .map(([records, separator]) => csvFile(records, separator)),
  );

  it("loses no record that was not touched, and invents no text", async () => {
    await fc.assert(
      fc.asyncProperty(files, mutations, async (file, mutation) => {
        expect(await problemsOf(file, mutation)).to.eql([]);
      }),
      runs(600),
    );
  });

  it("would be found to lose records, were a quote to end the file", async () => {
    const toStrayQuote = async (name: string, text: string): Promise<Read> => {
      const { records, refusal } = await readContent(name, text);
      const stray = records.findIndex(({ problem }) => problem?.includes("quote"));
      return { records: stray < 0 ? records : records.slice(0, stray), refusal };
    };
    const users = [1, 2, 3].map(
      (n): Original => ({ type: "user", n, firstName: "Ann", isVerified: true, createdAt: "" }),
    );
    const file = csvFile(users, ",");
    const text = file.header + file.texts.join("");
    const stray = { at: (text.indexOf("Ann") + 0.5) / text.length, removed: 0, inserted: '"' };
    expect(await problemsOf(file, stray)).to.eql([]);
    expect(await problemsOf(file, stray, toStrayQuote)).to.eql(["lost 1", "lost 2"]);
  });
});
