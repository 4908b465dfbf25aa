import { create } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { expect } from "chai";
import { Audience, MuteScope, PrivacySetting } from "../../../gen/nexgate/privacy/v1/resources_pb.ts";
import { id, type Read, readContent } from "../../support/import-content.ts";

/** Where each record is, and what it is: its kind, or what is wrong. */
const outline = ({ records }: Read) =>
  records.map(({ line, record: { record }, problem }) => `${line} ${problem ?? record?.case}`);

const firstNames = ({ records }: Read) =>
  records.map(({ record: { record } }) => (record?.case === "user" ? record.value.firstName : undefined));

const user = (n: number, more: object = {}) =>
  JSON.stringify({ type: "user", id: id(n), userName: "u", ...more });

describe("a CSV file", () => {
  const header = "type,id,userName,firstName,ownerId,targetId,createdAt";
  const row = (n: number, firstName: string) => `user,${id(n)},u,${firstName},,,`;
  const csv = (...lines: string[]) => readContent("file.csv", [header, ...lines].join("\n"));

  it("keeps a quote within a cell as it is", async () => {
    const read = await csv(row(1, 'Cat "Kitty"'), row(2, "Dan"));
    expect(firstNames(read)).to.eql(['Cat "Kitty"', "Dan"]);
  });

  it("reads cells of several lines, of quotes and of separators", async () => {
    const read = await csv(row(1, '"two\nlines, ""quoted"""'), "", row(2, '" a "'), row(3, " b "));
    expect(firstNames(read)).to.eql(['two\nlines, "quoted"', " a ", "b"]);
    expect(outline(read)).to.eql(["2 user", "5 user", "6 user"]);
  });

  const stray: Record<string, [string, string]> = {
    "that opens": ['"Cat', "column 4 has a quote that is never closed"],
    "that opens before others": ['"Cat,"Kit",""', "column 4 goes on after its closing quote"],
    "that closes too early": ['"Cat"x', "column 4 goes on after its closing quote"],
    "that is doubled": ['""Cat"', "column 4 goes on after its closing quote"],
  };
  for (const [name, [cell, problem]] of Object.entries(stray)) {
    it(`loses only one row to a stray quote ${name}`, async () => {
      const others = [
        row(2, "Dan"),
        row(3, '"Eve ""E"""'),
        `block,,,,${id(2)},${id(3)},2024-05-01T12:00:00Z`,
      ];
      const read = await csv(row(1, cell), ...others);
      expect(outline(read)).to.eql([`2 ${problem}`, "3 user", "4 user", "5 block"]);
    });
  }

  it("loses only one row to a stray quote that a later cell seems to close", async () => {
    const read = await csv(row(1, '"Cat'), row(2, '", Jr"'), row(3, "Eve"));
    expect(outline(read)).to.eql(["2 column 4 has a quote that is never closed", "3 user", "4 user"]);
    expect(firstNames(read)[1]).to.equal(", Jr");
  });

  it("does not read the inside of a quoted cell as a record when the row has too many columns", async () => {
    const injected = `block,,,,${id(8)},${id(9)},`;
    const read = await csv(`${row(1, `"x\n${injected}\ny"`)},more`, row(2, "Dan"));
    expect(outline(read)).to.eql(["2 the row has 8 columns, the header 7", "5 user"]);
  });

  it("skips rows with another number of columns, unless the extra ones are empty", async () => {
    const read = await csv(`user,${id(1)},u`, `${row(2, "a")},,`, `${row(3, "b")},c`, row(4, "d"), ",,,,,,");
    expect(outline(read)).to.eql([
      "2 the row has 3 columns, the header 7",
      "3 user",
      "4 the row has 8 columns, the header 7",
      "5 user",
    ]);
  });

  for (const separator of [",", ";", "\t", "|"]) {
    it(`may have ${JSON.stringify(separator)} between its cells`, async () => {
      const text = [header, row(1, "a"), row(2, "b")].join("\r\n").replaceAll(",", separator);
      expect(firstNames(await readContent("file.csv", text))).to.eql(["a", "b"]);
    });
  }

  it("has expiries, scopes, settings and exceptions in columns that other rows leave empty", async () => {
    const columns = "type,ownerId,targetId,expiresAt,scopes,userId,setting,audience,exceptedId";
    const rows = [
      `mute,${id(1)},${id(2)},2090-05-01T12:00:00Z,content notifications,,,,`,
      `block,${id(1)},${id(2)},,,,,,`,
      `setting,,,,,${id(1)},groups,none,`,
      `exception,,,,,${id(1)},groups,,${id(2)}`,
      `exception,,,,,${id(1)},,,${id(2)}`,
    ];
    const read = await readContent("file.csv", [columns, ...rows].join("\n"));
    expect(outline(read)).to.eql([
      "2 mute",
      "3 block",
      "4 setting",
      "5 exception",
      '6 setting is "", expected last_seen, profile_picture, status, read_receipts or groups',
    ]);
    const [mute, block] = read.records.map(({ record: { record } }) => record?.value);
    expect(mute).to.deep.include({ scopes: [MuteScope.CONTENT, MuteScope.NOTIFICATIONS] });
    expect(block).to.eql({ ownerId: id(1), targetId: id(2), scopes: [] });
  });

  it("accepts other spellings of columns, and ignores named ones", async () => {
    const text = `Type,ID,user_name,"First Name",email\nUSER,${id(1)},u,Ann,x@y.example`;
    const read = await readContent("file.csv", text, { ignore: ["e_mail"] });
    expect(firstNames(read)).to.eql(["Ann"]);
    expect((await readContent("file.csv", text)).refusal).to.match(
      /unknown columns: "email"\. Known are type, id/,
    );
  });

  const refused: Record<string, [string, RegExp]> = {
    "without a header": [
      `block,${id(1)},${id(2)}`,
      /^Line 1 is no header, but "block,0.*expected a header.*type/,
    ],
    "of another separator": ["type:id:userName\nuser:1:2", /^Line 1 is no header, but "type:id:userName"/],
    "with a column that is there twice": [
      "type,id,user_name,userName\n",
      /^Line 1 names the column "userName" twice/,
    ],
    "that is empty": ["", /^The file is empty: expected a header/],
    "that is NDJSON": [user(1), /^Line 1 is no header/],
    "none of whose rows fit its header": [
      `${header}\na,b\nc,d`,
      /^No row has as many columns as .* line 1, 7/,
    ],
  };
  for (const [name, [text, message]] of Object.entries(refused)) {
    it(`is rejected ${name}`, async () => {
      expect((await readContent("file.csv", text)).refusal).to.match(message);
    });
  }

  it("omits fields of a user without a column, and an empty isVerified", async () => {
    const text = `type,id,userName,lastName,isVerified\nuser,${id(1)},u,,\nuser,${id(2)},u,,f`;
    const { records } = await readContent("file.csv", text);
    expect(records.map(({ record }) => record.userFields?.paths)).to.eql([
      ["user_name", "last_name"],
      ["user_name", "last_name", "is_verified"],
    ]);
  });
});

describe("an NDJSON file", () => {
  const ndjson = (...lines: string[]) => readContent("file.ndjson", lines.join("\n"));

  it("may have a byte order mark, and line separators in its texts", async () => {
    const read = await ndjson(
      `\uFEFF${user(1)}`,
      user(2, { firstName: "a\u2028b\u2029c\u0085d\fe" }),
      user(3),
    );
    expect(outline(read)).to.eql(["1 user", "2 user", "3 user"]);
    expect(firstNames(read)[1]).to.equal("a\u2028b\u2029c\u0085d\fe");
  });

  it("skips a line that is no object, and reports its number", async () => {
    const read = await ndjson(user(1), "{", "", "5", '["a"]', "null", `${user(2)},`, user(3));
    expect(outline(read)).to.eql([
      "1 user",
      '2 the line is no JSON object: "{"',
      '4 the line is no JSON object: "5"',
      '5 the line is no JSON object: "[\\"a\\"]"',
      '6 the line is no JSON object: "null"',
      `7 the line is no JSON object: ${JSON.stringify(`${user(2)},`).slice(0, 40)}...`,
      "8 user",
    ]);
  });

  it("skips records with unknown or repeated fields, or fields of another kind", async () => {
    const edge = (more: object) =>
      JSON.stringify({ type: "block", ownerId: id(1), targetId: id(2), ...more });
    const read = await ndjson(
      user(1, { is_admin: true }),
      user(1, { user_name: "v" }),
      user(1, { firstName: 5 }),
      user(1, { firstName: "half \uD800" }),
      user(1, { profilePictureUrls: ["a", 1] }),
      user(1, { isVerified: "maybe" }),
      edge({ type: "friend" }),
      edge({ type: undefined }),
      edge({ ownerId: 5 }),
      edge({ createdAt: "5" }),
      '{"__proto__":{},"type":"user"}',
      `{"type":"user","id":"${id(1)}","userName":"\\"a\\":","isVerified":true,"isVerified":false}`,
      user(1, { firstName: "x".repeat(50_000) }),
      `{"type":"user","profilePictureUrls":${"[".repeat(100_000)}${"]".repeat(100_000)}}`,
    );
    expect(outline(read)).to.eql([
      '1 "is_admin" is no known field',
      "2 userName is there twice",
      "3 firstName is 5, expected text",
      '4 firstName is "half \\ud800", which has half of a surrogate pair',
      '5 profilePictureUrls is ["a",1], expected a list of texts',
      '6 isVerified is "maybe", expected true or false',
      '7 type is "friend", expected user, follow, block, mute, setting or exception',
      "8 type is missing",
      "9 ownerId is 5, expected text",
      '10 createdAt is "5", neither seconds nor milliseconds of the years 1973 to 2099',
      '11 "__proto__" is no known field',
      "12 a field is there twice",
      "13 the record is longer than 40000 characters",
      "14 the object is nested too deeply",
    ]);
  });

  const objects = (...records: object[]) => ndjson(...records.map((record) => JSON.stringify(record)));
  const pair = { ownerId: id(1), targetId: id(2) };
  const list = { userId: id(1), setting: "groups", exceptedId: id(2) };

  it("has expiries, scopes, settings and exceptions", async () => {
    const read = await objects(
      { type: "block", ...pair, expiresAt: "2090-05-01T12:00:00.000001Z" },
      { type: "mute", ...pair, expires_at: 3_800_000_000, scopes: ["content", "Notifications"] },
      { type: "mute", ...pair, scopes: "notifications\tcontent" },
      { type: "mute", ...pair, scopes: [], expiresAt: "" },
      { type: "setting", userId: id(1), setting: "LAST_SEEN", audience: " contact_blacklist " },
      { type: "Exception", ...list, createdAt: "2024-05-01T12:00:00Z" },
    );
    const { CONTENT, NOTIFICATIONS } = MuteScope;
    const at = (seconds: bigint, nanos = 0) => create(TimestampSchema, { seconds, nanos });
    expect(read.records.map(({ record, problem }) => problem ?? record.record)).to.eql([
      { case: "block", value: { ...pair, expiresAt: at(3_797_323_200n, 1_000) } },
      { case: "mute", value: { ...pair, expiresAt: at(3_800_000_000n), scopes: [CONTENT, NOTIFICATIONS] } },
      { case: "mute", value: { ...pair, scopes: [NOTIFICATIONS, CONTENT] } },
      { case: "mute", value: { ...pair, scopes: [] } },
      {
        case: "setting",
        value: {
          userId: id(1),
          setting: PrivacySetting.LAST_SEEN,
          audience: Audience.CONTACT_BLACKLIST,
        },
      },
      {
        case: "exception",
        value: { ...list, setting: PrivacySetting.GROUPS, createdAt: at(1_714_564_800n) },
      },
    ]);
  });

  it("skips records with unknown scopes, settings and audiences", async () => {
    const setting = { type: "setting", userId: id(1), setting: "groups", audience: "none" };
    const read = await objects(
      { type: "mute", ...pair, scopes: ["content", "stories"] },
      { type: "mute", ...pair, scopes: "content,notifications" },
      { type: "mute", ...pair, scopes: 3 },
      { type: "mute", ...pair, scopes: ["unspecified"] },
      { ...setting, setting: "profile picture" },
      { ...setting, setting: null },
      { ...setting, audience: "everyone" },
      { ...setting, audience: 4 },
      { ...setting, audience: "" },
      { type: "exception", ...list, setting: "unspecified" },
      { type: "exception", ...list, createdAt: "soon" },
      { type: "block", ...pair, expiresAt: "2090-05-01T12:00:00" },
    );
    const scopes = "expected content and notifications";
    const settings = "expected last_seen, profile_picture, status, read_receipts or groups";
    const audiences = "expected all, contacts, contact_blacklist or none";
    expect(read.records.map(({ problem }) => problem)).to.eql([
      `scopes has "stories", ${scopes}`,
      `scopes has "content,notifications", ${scopes}`,
      "scopes is 3, expected a list of texts",
      `scopes has "unspecified", ${scopes}`,
      `setting is "profile picture", ${settings}`,
      "setting is missing",
      `audience is "everyone", ${audiences}`,
      `audience is 4, ${audiences}`,
      `audience is "", ${audiences}`,
      `setting is "unspecified", ${settings}`,
      'createdAt is "soon", expected a time of RFC 3339, or seconds or milliseconds since 1970',
      'expiresAt is "2090-05-01T12:00:00", which names no time zone (--assume-utc takes it for UTC)',
    ]);
  });

  it("treats null as a missing field", async () => {
    const { records } = await ndjson(user(1, { isVerified: null, lastName: null, firstName: "a" }));
    expect(records.map(({ record, problem }) => [record.userFields?.paths, problem])).to.eql([
      [["user_name", "first_name"], undefined],
    ]);
  });

  const refused: Record<string, [string, RegExp]> = {
    "that is a JSON array": [`\n [${user(1)}]`, /^The file is a JSON array: expected NDJSON/],
    "with no object at all": ["a\nb", /^No line of the file is a JSON object: expected NDJSON/],
    "that is one object over several lines": [
      '{\n"type": "user"\n}',
      /^No line of the file is a JSON object/,
    ],
  };
  for (const [name, [text, message]] of Object.entries(refused)) {
    it(`is rejected ${name}`, async () => {
      expect((await readContent("file.ndjson", text)).refusal).to.match(message);
    });
  }
});

describe("a file of any format", () => {
  it("is recognised by its first character when its name has no known extension", async () => {
    expect(outline(await readContent("file", `\uFEFF${user(1)}`))).to.eql(["1 user"]);
    expect(outline(await readContent("file", `\n"type";id;userName\nuser;${id(1)};u`))).to.eql(["3 user"]);
    expect((await readContent("file", "hello\n")).refusal).to.match(/^Line 1 is no header, but "hello"/);
  });

  const text = `${user(1)}\r\n${user(2, { firstName: "Zoë \u{1F600}" })}\r${user(3)}\n`;
  const utf16be = (content: string) => Buffer.from(content, "utf16le").swap16();
  const encodings: Record<string, Uint8Array> = {
    "UTF-8": Buffer.from(text),
    "UTF-8 with a byte order mark": Buffer.from(`\uFEFF${text}`),
    "UTF-16 with a byte order mark": Buffer.from(`\uFEFF${text}`, "utf16le"),
    "UTF-16, big end first": utf16be(`\uFEFF${text}`),
    "UTF-16 without a mark": Buffer.from(text, "utf16le"),
    "UTF-16 without a mark, big end first": utf16be(text),
  };
  for (const [name, content] of Object.entries(encodings)) {
    it(`may be in ${name}`, async () => {
      const read = await readContent("file.ndjson", content);
      expect(outline(read)).to.eql(["1 user", "2 user", "3 user"]);
      expect(firstNames(read)[1]).to.equal("Zoë \u{1F600}");
    });
  }

  const refused: Record<string, [Uint8Array, RegExp]> = {
    "Latin-1": [
      Buffer.from(`${user(1)}\n${user(2, { firstName: "José" })}\n`, "latin1"),
      /^Line 2 is not UTF-8/,
    ],
    "UTF-8 that is cut off": [Buffer.from(`${user(1)}\n{"type":"é`).subarray(0, -1), /^Line 2 is not UTF-8/],
    "UTF-16 with half a pair": [Buffer.from(`\uFEFF${user(1)}\n"\uD800"`, "utf16le"), /^The file looks/],
    "UTF-32": [
      Buffer.from([0xff, 0xfe, 0, 0, 0x7b, 0, 0, 0]),
      /^The file is UTF-32: expected UTF-8, or UTF-16/,
    ],
    gzip: [Buffer.from([0x1f, 0x8b, 8, 0]), /^The file is compressed with gzip/],
    "a workbook": [Buffer.from("PK\u0003\u0004"), /^The file is a ZIP archive or an Excel workbook/],
  };
  for (const [name, [content, message]] of Object.entries(refused)) {
    it(`is rejected in ${name}`, async () => {
      expect((await readContent("file.ndjson", content)).refusal).to.match(message);
    });
  }

  it("may be cut into chunks anywhere, and have a line of any length", async () => {
    const long = "x".repeat(3 * 1024 * 1024);
    const read = await readContent(
      "file.ndjson",
      [user(1), `{"type":"user","id":"${long}`, user(2, { firstName: "é".repeat(30_000) }), user(3)].join(
        "\r\n",
      ),
    );
    expect(outline(read).map((line) => line.slice(0, 30))).to.eql([
      "1 user",
      "2 the line is no JSON object: ",
      "3 user",
      "4 user",
    ]);
  });
});
