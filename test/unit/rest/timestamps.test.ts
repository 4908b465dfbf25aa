import { create, type Message } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { expect } from "chai";
import { messageReader } from "../../../src/rest/message-json.ts";
import { queryReader } from "../../../src/rest/request-reader.ts";
import { everyType } from "./every-type.ts";

const flat = everyType.message("Flat");

function fromBody(text: string): Timestamp | undefined {
  const message = create(flat) as Message & { at?: Timestamp };
  messageReader(flat)({ at: text }, "", message);
  return message.at;
}

function fromQuery(text: string): Timestamp | undefined {
  const message = create(flat) as Message & { at?: Timestamp };
  queryReader(flat.fields)(`at=${encodeURIComponent(text)}`, message);
  return message.at;
}

describe("a time in a request", () => {
  const good: [string, string, number][] = [
    ["2026-12-24T18:00:00Z", "2026-12-24T18:00:00Z", 0],
    ["2026-12-24T19:30:00+01:30", "2026-12-24T18:00:00Z", 0],
    ["2026-12-24T18:00:00-00:00", "2026-12-24T18:00:00Z", 0],
    ["2026-12-24T04:00:00-14:00", "2026-12-24T18:00:00Z", 0],
    ["2026-12-24T18:00:00.1Z", "2026-12-24T18:00:00Z", 100_000_000],
    ["2026-12-24T18:00:00.123456Z", "2026-12-24T18:00:00Z", 123_456_000],
    ["2026-12-24T18:00:00.999999999+00:00", "2026-12-24T18:00:00Z", 999_999_999],
    ["1969-12-31T23:59:59.25Z", "1969-12-31T23:59:59Z", 250_000_000],
    ["2028-02-29T00:00:00Z", "2028-02-29T00:00:00Z", 0],
    ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", 0],
    ["0000-12-31T23:59:00-00:01", "0001-01-01T00:00:00Z", 0],
    ["9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59Z", 999_999_999],
  ];
  for (const [text, seconds, nanos] of good)
    it(`may be ${text}`, () => {
      for (const time of [fromBody(text), fromQuery(text)])
        expect([Number(time?.seconds) * 1000, time?.nanos]).to.eql([Date.parse(seconds), nanos]);
    });

  const bad = [
    "",
    "2026-12-24",
    "2026-12-24T18:00Z",
    "2026-12-24T18:00:00",
    "2026-12-24 18:00:00Z",
    "2026-12-24T18:00:00z",
    "2026-12-24T18:00:00+0100",
    "2026-12-24T18:00:00+01",
    "2026-12-24T18:00:00.Z",
    "2026-12-24T18:00:00,5Z",
    "2026-12-24T18:00:00.1234567891Z",
    " 2026-12-24T18:00:00Z",
    "2026-12-24T18:00:00Z\n",
    "+2026-12-24T18:00:00Z",
    "02026-12-24T18:00:00Z",
    "2026-00-24T18:00:00Z",
    "2026-13-24T18:00:00Z",
    "2026-12-00T18:00:00Z",
    "2026-12-32T18:00:00Z",
    "2026-02-29T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2026-04-31T18:00:00+01:00",
    "2026-12-24T24:00:00Z",
    "2026-12-24T25:00:00Z",
    "2026-12-24T18:60:00Z",
    "2026-12-31T23:59:60Z",
    "2026-12-24T18:00:00+24:00",
    "2026-12-24T18:00:00+01:60",
    "0000-12-31T23:59:59Z",
    "0001-01-01T00:00:00+00:01",
    "9999-12-31T23:59:59-00:01",
    "10000-01-01T00:00:00Z",
    "1798135200",
    "infinity",
  ];
  for (const text of bad)
    it(`is not ${JSON.stringify(text)}`, () => {
      expect(() => fromBody(text)).to.throw("at must be an RFC 3339 time");
      expect(() => fromQuery(text)).to.throw("at must be an RFC 3339 time");
    });
});
